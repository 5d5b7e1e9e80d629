"""Two revisions of the sources, timed in turn: fresh processes, PyTorch beside each of them."""

import contextlib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from bench.duel import Duels, Outcome, label
from bench.machine import ROOT
from bench.plan import Plan, duration
from bench.stored import RunError
from bench.workloads.presets import Task

# Pairs of processes. Of five differences the 95 % interval is 2.8 standard errors to each side.
PAIRS = 6
OLD, NEW = SIDES = ("old", "new")
# The same on both sides: a change of the harness is not one of the backends.
HARNESS = ("bench", "conformance")

Asked = tuple[str, str, Task]


@dataclass(frozen=True, slots=True)
class Turn:
    """What one process of one side found."""

    side: str
    pair: int
    outcomes: list[Outcome]


@contextlib.contextmanager
def staged(side: str) -> Iterator[Path]:
    """A folder with the sources of a revision, or of a checkout, under the present harness."""
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        root = Path(folder)
        if (Path(side) / "impls").is_dir():
            (root / "impls").symlink_to((Path(side) / "impls").resolve())
        else:
            _extract(side, root)
        for name in HARNESS:
            (root / name).symlink_to(ROOT / name)
        yield root


def in_turn(
    roots: dict[str, Path], plan: Plan, asked: Sequence[Asked], say: Callable[[str], None]
) -> list[Turn]:
    """What the two sides' processes found, in turn: old new, new old, old new, ..."""
    preset = replace(plan.preset, processes=(1, 1))
    workers = list(dict.fromkeys((spec, threads) for spec, threads, _ in asked))
    every, start = PAIRS * len(workers), monotonic()
    turns: list[Turn] = []
    for spec, threads in workers:
        tasks = [task for *worker, task in asked if (spec, threads) == tuple(worker)]
        for pair in range(PAIRS):
            for side in SIDES if pair % 2 == 0 else SIDES[::-1]:
                duels = Duels(preset, once=False, root=roots[side])
                with contextlib.closing(duels):
                    own = _own(spec, roots[side])
                    outcomes = [duels.run(own, task, threads) for task in tasks]
                turns.append(Turn(side, pair, [one for found in outcomes for one in found]))
            done = workers.index((spec, threads)) * PAIRS + pair + 1
            left = duration((monotonic() - start) / done * (every - done))
            say(f"{label(spec)}, {threads}: pair {pair + 1} of {PAIRS}; {left} left")
    return turns


def _own(spec: str, root: Path) -> str:
    """A file of the repository is each side's own; any other is the same on both."""
    path = Path(spec)
    if path.is_relative_to(ROOT) and (own := root / path.relative_to(ROOT)).exists():
        return str(own)
    return spec


def _extract(revision: str, root: Path) -> None:
    """Write a revision's files, all but the harness."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", revision], cwd=ROOT, capture_output=True
    )
    if packed.returncode:
        why = packed.stderr.decode().strip()
        raise RunError(f"{revision} must be a stored run, a checkout or a revision: {why}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as tar:
        wanted = [file for file in tar.getmembers() if file.name.split("/")[0] not in HARNESS]
        tar.extractall(root, wanted, filter="data")
    if not (root / "impls").is_dir():
        raise RunError(f"{revision} must hold impls/, but does not")
