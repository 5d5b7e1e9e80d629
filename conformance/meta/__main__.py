"""python -m conformance.meta: judge every faulty and every right backend, store the kill matrix.

Exit status 1 if a fault is not caught by the kind of check that should, or a right backend is
refused.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

# Read when a worker first imports NumPy: workers share the cores, and torch has one thread.
os.environ["OPENBLAS_THREAD_TIMEOUT"] = "4"
os.environ["OMP_NUM_THREADS"] = "1"

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from conformance.meta import STORED, matrix

OUT = Path("reports/latest")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance.meta", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR")
    parser.add_argument("--select", default="", metavar="TEXT", help="part of a backend's name")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="processes")
    parsed = parser.parse_args(arguments)
    names = [name for name in matrix.BY_NAME if parsed.select in name]
    if not names:
        parser.error(f"--select {parsed.select!r} must be part of a backend's name")
    console = Console()
    rows = list(judged(names, parsed.jobs, console))
    path = parsed.out / STORED
    matrix.write(rows, path)
    wrong = list(matrix.wrongs(rows))
    for message in wrong:
        console.print(message, style="red", markup=False, highlight=False)
    console.print(matrix.sentence(rows), highlight=False)
    console.print(f"wrote {path}", highlight=False)
    return 1 if wrong else 0


def judged(names: Sequence[str], jobs: int, console: Console) -> Iterator[matrix.Row]:
    """The rows of all backends in their order, made in several processes, progress shown."""
    columns = (
        TextColumn("{task.description:60.60}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    parts = list(matrix.parts(names))
    with (
        ProcessPoolExecutor(jobs, get_context("spawn")) as pool,
        Progress(*columns, console=console) as progress,
    ):
        task = progress.add_task("", total=len(parts))
        found: dict[Future[list[matrix.Row]], tuple[str, str]] = {
            pool.submit(matrix.rows, *part): part for part in parts
        }
        for done in as_completed(found):
            progress.update(task, advance=1, description=found[done][0])
    for done in found:
        yield from done.result()


if __name__ == "__main__":
    sys.exit(main())
