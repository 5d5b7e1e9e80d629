"""Run folders: what is measured is kept at once, and found again after whatever happened.

run.json       preset, machine, thread counts, digests of the sources, rows
samples.csv    every timing
journal.jsonl  there while a run is not finished: its rows and timings, a line a task and lap

A file is written beside its place and then moved there, so that a full disk or a kill leaves the
old one. A line of the journal is on the disk before the next task starts.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from bench import stored
from bench.duel import Outcome
from bench.row import KEY, Row
from bench.stored import RunError

SCHEMA = 2
RUN, SAMPLES, JOURNAL = "run.json", "samples.csv", "journal.jsonl"

Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """What run.json holds. sources: per backend, the digest of what was timed."""

    preset: str
    machine: dict[str, Any]
    threads: dict[str, dict[str, int]]
    rows: list[dict[str, Any]]
    sources: dict[str, str] = field(default_factory=dict)


def key(row: dict[str, Any]) -> Key:
    """What tells a row, as stored, from all others of its run."""
    backend, workload, direction, threads = (str(row[name]) for name in KEY)
    return backend, workload, direction, threads


def frame(outcomes: Iterable[Outcome]) -> pd.DataFrame:
    """Samples of outcomes: samples.csv."""
    return pd.DataFrame(
        [
            {**dict(zip(KEY, key(asdict(outcome.row)), strict=True)), **sample}
            for outcome in outcomes
            for sample in outcome.samples
        ]
    )


def store(run: Run, samples: pd.DataFrame, directory: Path) -> None:
    """Write run.json and samples.csv; what the journal holds must be among them: it is removed."""
    directory.mkdir(parents=True, exist_ok=True)
    replace(directory / SAMPLES, lambda path: samples.to_csv(path, index=False))
    text = json.dumps({"schema": SCHEMA, **asdict(run)}, indent=1) + "\n"
    replace(directory / RUN, lambda path: path.write_text(text, encoding="utf-8"))
    (directory / JOURNAL).unlink(missing_ok=True)


def load(directory: Path) -> Run | None:
    """The run of a folder, finished or not; None if it holds none, RunError if it is broken."""
    journal, finished = _journal(directory), _finished(directory)
    if journal is None:
        return finished
    header, lines = journal
    rows = {key(row): row for row in (finished.rows if finished else [])}
    threads = dict(header.threads)
    for line in lines:
        rows |= {key(outcome["row"]): outcome["row"] for outcome in line["outcomes"]}
        threads |= line["threads"]
    return Run(header.preset, header.machine, threads, list(rows.values()), header.sources)


def load_samples(directory: Path) -> pd.DataFrame:
    """Every timing of a folder's run, those of its journal too; empty if there is none."""
    path = directory / SAMPLES
    try:
        found = pd.read_csv(path) if path.exists() else pd.DataFrame()
        if len(found) and not {*KEY, "arm", "wall_ns"} <= {*found.columns}:
            raise ValueError(f"its columns are {', '.join(found.columns)}")
    except pd.errors.EmptyDataError:
        found = pd.DataFrame()
    except ValueError as error:
        raise RunError(f"{path} must be what `python -m bench run` stored: {error}") from error
    journal = _journal(directory)
    # A row has a line per lap, each with all its samples.
    newer = {
        key(outcome["row"]): Outcome(Row(**outcome["row"]), outcome["samples"])
        for line in (journal[1] if journal else [])
        for outcome in line["outcomes"]
    }
    if not newer:
        return found
    if len(found):
        found = found[[k not in newer for k in zip(*(found[n] for n in KEY), strict=True)]]
    return pd.concat([found, frame(newer.values())], ignore_index=True)


def is_unfinished(directory: Path) -> bool:
    """Whether a run in this folder was interrupted, or is still going on."""
    return (directory / JOURNAL).exists()


class Journal:
    """Appends outcomes to a folder's journal: a context that leaves it there."""

    def __init__(self, directory: Path, header: Run) -> None:
        """Start a journal. header: the run without rows."""
        self.path = directory / JOURNAL
        text = json.dumps({"schema": SCHEMA, **asdict(header)}) + "\n"
        replace(self.path, lambda path: path.write_text(text, encoding="utf-8"))
        self._file: TextIO = self.path.open("a", encoding="utf-8")

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # of a line that the disk had no place for
            self._file.close()

    def append(self, outcomes: list[Outcome], threads: dict[str, dict[str, int]]) -> None:
        """Keep a task's outcomes; when this returns, they are on the disk."""
        kept = [{"row": asdict(outcome.row), "samples": outcome.samples} for outcome in outcomes]
        self._file.write(json.dumps({"outcomes": kept, "threads": threads}) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, then move it there: it is the old one or the whole new one."""
    beside = path.with_name(f".{path.name}.part")
    try:
        write(beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:  # of a write, it does not say which file
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        beside.unlink(missing_ok=True)


def _finished(directory: Path) -> Run | None:
    return stored.load(directory / RUN, SCHEMA, Run, "python -m bench run")


def _journal(directory: Path) -> tuple[Run, list[dict[str, Any]]] | None:
    """(The run without rows, a record per task); a last line that was cut off is left out."""
    path = directory / JOURNAL
    if not path.exists():
        return None
    try:
        header, *lines = _whole_lines(path)
        return _run(header), [json.loads(line) for line in lines]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} must be what `python -m bench run` wrote: {error}") from error


def _whole_lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        yield from (line for line in file if line.endswith("\n"))


def _run(text: str) -> Run:
    header = json.loads(text)
    if header.pop("schema") != SCHEMA:
        raise ValueError("its schema is another")
    return Run(**header)
