"""Side passes: first call, memory, cold caches, threads and growth, each in processes of its own.

passes.csv is tidy: a line per figure. It is written anew after every process, and what it holds of
the same sources is not measured again.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench import runs
from bench.duel import label
from bench.machine import ROOT, cores, environment
from bench.pass_worker import PASSES, PYTORCH
from bench.sources import digest
from bench.stored import RunError

FILE = "passes.csv"
COLUMNS = (
    "pass", "backend", "workload", "direction", "threads", "axis", "size", "measure", "sample",
    "value", "method", "reason", "sources",
)  # fmt: skip
# A pass that takes longer hangs.
LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Unit:
    """One pass of one backend, on so many threads."""

    name: str
    spec: str
    threads: int


def units(backends: list[str]) -> Iterator[Unit]:
    """Every pass of PyTorch and of the backends."""
    for spec in (PYTORCH, *backends):
        for name in PASSES:
            counts = thread_counts() if name == "threads" else (1,)
            yield from (Unit(name, spec, count) for count in counts)


def thread_counts() -> tuple[int, ...]:
    """Powers of two up to the cores, and all of them."""
    powers = [2**i for i in range(cores().bit_length()) if 2**i <= cores()]
    return tuple(sorted({*powers, cores()}))


def run(backends: list[str], out: Path, say: Callable[[str], None], *, fresh: bool) -> None:
    """Measure what `out` does not have yet, and keep it there."""
    kept = None if fresh else load(out)
    found = pd.DataFrame(columns=list(COLUMNS)) if kept is None else kept
    every = list(units(backends))
    for number, unit in enumerate(every, 1):
        sources = digest(unit.spec)
        place = {"pass": unit.name, "backend": label(unit.spec), "threads": unit.threads}
        mine = (found[list(place)] == pd.Series(place)).all(axis=1)
        done = found[mine & (found["workload"] != "")]  # a process that ended early is asked again
        if (done["sources"] == sources).any() and mine.sum() == len(done):
            continue
        say(f"pass {number} of {len(every)}: {unit.name} of {place['backend']}")
        records = [{**place, **record, "sources": sources} for record in _measured(unit)]
        newer = pd.DataFrame(records, columns=list(COLUMNS))
        found = newer if found[~mine].empty else pd.concat([found[~mine], newer], ignore_index=True)
        _write(found, out)


def load(out: Path) -> pd.DataFrame | None:
    """What passes.csv holds, None if there is none; RunError for a foreign file."""
    path = out / FILE
    if not path.exists():
        return None
    try:
        found = pd.read_csv(path, keep_default_na=False, na_values={"value": "", "size": ""})
        if list(found.columns) != list(COLUMNS):
            raise ValueError(f"its columns are {', '.join(found.columns)}")
    except ValueError as error:
        raise RunError(f"{path} must be what `python -m bench run` stored: {error}") from error
    return found


def _write(found: pd.DataFrame, out: Path) -> None:
    runs.replace(out / FILE, lambda path: found.to_csv(path, index=False))


def _measured(unit: Unit) -> list[dict[str, Any]]:
    """The records of a pass; the first call is looked at twice, the second time compiled code lies
    in a cache.
    """
    with tempfile.TemporaryDirectory() as cache:
        if unit.name != "first_call":
            return _asked(unit, cache)
        fresh = [{**r, "measure": _named(r, "first_call_s")} for r in _asked(unit, cache)]
        again = [{**r, "measure": _named(r, "cached_call_s")} for r in _asked(unit, cache)]
        return fresh + [record for record in again if record["measure"] == "cached_call_s"]


def _named(record: dict[str, Any], first: str) -> str:
    return first if record["measure"] == "first_s" else str(record["measure"])


def _asked(unit: Unit, cache: str) -> list[dict[str, Any]]:
    """What a process of a pass printed; where it ended or hung, a record that says so."""
    command = [sys.executable, "-m", "bench.pass_worker", unit.spec, unit.name]
    env = {**environment(unit.threads), "NUMBA_CACHE_DIR": cache}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=LIMIT_S
        )
        printed, reason = done.stdout, ""
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:]
            reason = " ".join([f"ended with exit status {done.returncode}", *last])
    except subprocess.TimeoutExpired as error:
        printed = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        reason = f"no end after {LIMIT_S:g} s"
    records = [_record(line) for line in printed.splitlines()]
    kept = [record for record in records if record is not None]
    return [*kept, _reason(reason)] if reason else kept


def _record(line: str) -> dict[str, Any] | None:
    """A record, None for what a backend printed itself."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "measure" in found else None


def _reason(reason: str) -> dict[str, Any]:
    blank = dict.fromkeys(("workload", "direction", "axis", "measure", "method"), "")
    return {**blank, "size": None, "sample": 0, "value": None, "reason": reason}
