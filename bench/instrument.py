"""Tests the harness as an instrument, on pairs of backends whose true ratio is known.

    python -m bench.instrument aa            every arm is the same backend
    python -m bench.instrument sensitivity   a decoy does 1.05 times the work of the reference

Everything is as in a run: workers, orders, looks, verdicts and their correction; a backend stands
in PyTorch's place. Each pair is timed twice, on the machine as it is, and beside a process on every
core that only burns. What comes out is kept in reports/instrument.json, and the report shows it.
"""

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from bench import machine, stored
from bench.duel import Duels, Outcome
from bench.results import corrected
from bench.row import Row
from bench.runs import replace
from bench.statistics import BAD, CLAIMS, Verdict
from bench.workloads.presets import ONE_THREAD, Preset, Task

SCHEMA = 1
FILE = "instrument.json"
KEPT = Path("reports", FILE)
PEERS = Path(__file__).parent / "peers"
QUIET, BUSY = LOADS = ("quiet", "busy")
# What is promised. Beside burners nothing need be decided, but what is must be right.
WRONG_LIMIT = {QUIET: 0.05, BUSY: 0.0}
FOUND_LIMIT = 0.9
ERROR_LIMIT = 0.01

# Twenty images, so that one more is 5 %. Calls are short, so that there are many rounds.
BATCHES = (
    Task("simplecnn:conv1/n20@1/4", "forward"),
    Task("simplecnn:conv2/n20@1/4", "forward"),
    Task("simplecnn:conv2/n20@1/4", "grad_input"),
    Task("resnet50:res2.3x3*3/n20@1/8", "forward"),
    Task("resnet50:res2.expand*4/n20@1/8", "forward"),
    Task("resnet50:res3.3x3s2/n20@1/8", "forward"),
    Task("mobilenetv2:block8.depthwise*4/n20@1/4", "forward"),
    Task("resnet50:maxpool/n20@1/8", "forward"),
    Task("densenet121:transition3.avgpool/n20@1/4", "forward"),
    Task("resnet50:relu1/n20@1/8", "forward"),
    Task("googlenet:3a.1x1/n20@1/4", "forward"),
    Task("googlenet:3a.maxpool/n20@1/8", "forward"),
    Task("resnet50:relu1/n20@1/4", "forward"),
)
IMAGES = (
    Task("resnet50:res2.3x3*3@1/4", "forward"),
    Task("resnet50:res2.3x3*3@1/4", "grad_weight"),
    Task("resnet50:res2.expand*4@1/4", "forward"),
    Task("mobilenetv2:block8.depthwise*4", "forward"),
    Task("dcgan:conv4@1/4", "forward"),
    Task("resnet50:maxpool@1/4", "forward"),
    Task("inceptionv3:6b.avgpool*4", "forward"),
    Task("resnet50:relu1@1/4", "forward"),
    Task("simplecnn:fc", "forward"),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A test. pairs: backend and reference. right: the verdict that is true."""

    pairs: tuple[tuple[str, str], ...]
    tasks: tuple[Task, ...]
    ratio: float
    right: Verdict

    @property
    def preset(self) -> Preset:
        """As much time as a row of the standard preset has."""
        return Preset(
            name="instrument", why="is what the harness says true?", rows=self.tasks,
            processes=(3, 6), rounds=60, budget_s=0.7, call_cap_s=1.0,
        )  # fmt: skip


KINDS = {
    "aa": Kind(
        (("im2col", "im2col"), ("numba", "numba")), IMAGES, 1.0, Verdict.SAME
    ),
    "sensitivity": Kind(
        ((str(PEERS / "decoy.py"), str(PEERS / "by_image.py")),), BATCHES, 1 / 1.05,
        Verdict.SLOWER,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trial:
    """One row of a test, and what it should have said."""

    load: str
    backend: str
    task: str
    truth: float
    ratio: float | None
    low: float | None
    high: float | None
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What trials of one kind and load come to. error: how far a ratio is from the true one."""

    trials: int
    verdicts: dict[str, int]
    right: float
    wrong: float
    error_median: float | None
    error_max: float | None


def measure(kind: Kind, load: str, say: Callable[[str], None]) -> list[Trial]:
    """A trial for every pair and task."""
    with burners(machine.cores() if load == BUSY else 0):
        outcomes = list(_outcomes(kind, lambda word: say(f"{load}: {word}")))
    rows = corrected([outcome.row for outcome in outcomes])
    return [_trial(row, load, kind.ratio) for row in rows]


@contextlib.contextmanager
def burners(count: int) -> Iterator[None]:
    """So many processes that keep a core busy each."""
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def figures(trials: Sequence[Trial], right: Verdict) -> Figures:
    """Shares of right and of wrong claims, and errors of the ratios that are not INVALID."""
    verdicts = Counter(trial.verdict for trial in trials)
    rated = [t for t in trials if t.ratio is not None and t.verdict != Verdict.INVALID]
    errors = [abs(t.ratio / t.truth - 1) for t in rated if t.ratio is not None]
    return Figures(
        trials=len(trials),
        verdicts=dict(verdicts),
        right=verdicts[right] / len(trials),
        wrong=sum(verdicts[v] for v in CLAIMS if v != right) / len(trials),
        error_median=float(np.median(errors)) if errors else None,
        error_max=max(errors, default=None),
    )


def sentence(name: str, load: str, found: Figures) -> str:
    """The figures in words."""
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in sorted(found.verdicts.items()))
    what = {
        "aa": "A backend beside itself",
        "sensitivity": f"A backend that does 5 % more work, found in {found.right:.0%}",
    }[name]
    beside = {QUIET: "", BUSY: ", all cores kept busy by others"}[load]
    wrong = f"{found.wrong:.0%} wrong" if found.wrong else "none wrong"
    errors = (
        f"ratios off by {found.error_median:.1%} at the median, {found.error_max:.1%} at most"
        if found.error_max is not None
        else "no ratio was valid"
    )
    return f"{what}{beside}: of {found.trials} verdicts {wrong} ({verdicts}); {errors}"


def broken_promises(name: str, load: str, found: Figures) -> list[str]:
    """What the figures fall short of."""
    broken = []
    if found.wrong > WRONG_LIMIT[load]:
        broken.append(f"at most {WRONG_LIMIT[load]:.0%} of the verdicts are wrong")
    if load == BUSY:
        return broken
    if name == "sensitivity" and found.right < FOUND_LIMIT:
        broken.append(f"{FOUND_LIMIT:.0%} of the decoys are found")
    if found.error_median is None or found.error_median > ERROR_LIMIT:
        broken.append(f"half of the ratios are within {ERROR_LIMIT:.0%}")
    return broken


@dataclass(frozen=True, slots=True)
class Session:
    """The latest test of one kind: when, on what, and its trials."""

    date: str
    cpu: str
    cores: int
    revision: str
    trials: list[dict[str, Any]]


def load(directory: Path) -> dict[str, Session]:
    """The sessions of a folder by their kind; RunError for a foreign file."""

    def sessions(**kinds: dict[str, Any]) -> dict[str, Session]:
        return {name: Session(**kinds[name]) for name in KINDS if name in kinds}

    return stored.load(directory / FILE, SCHEMA, sessions, "python -m bench.instrument") or {}


def sentences(directory: Path) -> list[tuple[str, str]]:
    """(When and on what, what was found) for each kind and load of a folder."""
    said = []
    for name, session in load(directory).items():
        trials = [Trial(**trial) for trial in session.trials]
        when = f"{session.date[:10]}, {session.cpu}, {session.cores} cores"
        for beside in LOADS:
            if chosen := [trial for trial in trials if trial.load == beside]:
                said.append((when, sentence(name, beside, figures(chosen, KINDS[name].right))))
    return said


def show_in(directory: Path) -> None:
    """Let the report of a run folder show the latest tests that were made here."""
    if KEPT.exists():
        shutil.copyfile(KEPT, directory / FILE)


def keep(name: str, trials: Sequence[Trial], directory: Path) -> None:
    """Put a session in the place of the one before of its kind."""
    facts = machine.facts()
    chosen = {key: facts[key] for key in ("date", "cpu", "cores", "revision")}
    session = Session(**chosen, trials=[asdict(trial) for trial in trials])
    sessions = {kind: asdict(found) for kind, found in {**load(directory), name: session}.items()}
    text = json.dumps({"schema": SCHEMA, **sessions}, indent=1) + "\n"
    directory.mkdir(parents=True, exist_ok=True)
    replace(directory / FILE, lambda path: path.write_text(text, encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 1 if a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m bench.instrument", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    name: str = parser.parse_args(arguments).kind
    trials: list[Trial] = []
    broken = []
    for load in LOADS:
        found = measure(KINDS[name], load, lambda word: print(word, flush=True))
        trials += found
        summary = figures(found, KINDS[name].right)
        print(f"instrument: {sentence(name, load, summary)}", flush=True)
        broken += [f"{load}: {p}" for p in broken_promises(name, load, summary)]
    keep(name, trials, KEPT.parent)
    for promise in broken:
        print(f"instrument: not kept: {promise}")
    return 1 if broken else 0


def _outcomes(kind: Kind, say: Callable[[str], None]) -> Iterator[Outcome]:
    start, done = monotonic(), 0
    for spec, reference in kind.pairs:
        duels = Duels(kind.preset, once=False, reference=reference)
        try:
            for task in kind.tasks:
                outcome = duels.run(spec, task, ONE_THREAD)[-1]
                row, done = outcome.row, done + 1
                left_s = (monotonic() - start) / done * (len(kind.pairs) * len(kind.tasks) - done)
                said = row.verdict if row.ratio is None else f"{row.ratio:.3f}x {row.verdict}"
                why = f" ({row.reason})" if row.reason else ""
                say(
                    f"{row.backend} {row.workload} {row.direction} {said}{why}, {left_s:.0f} s left"
                )
                if row.verdict in BAD:
                    raise RuntimeError(f"{row.backend} {row.workload}: {row.reason}")
                yield outcome
        finally:
            duels.close()


def _trial(row: Row, load: str, truth: float) -> Trial:
    return Trial(
        load=load,
        backend=row.backend,
        task=f"{row.workload} {row.direction}",
        truth=truth,
        ratio=row.ratio,
        low=row.ratio_low,
        high=row.ratio_high,
        verdict=row.verdict,
        reason=row.reason,
    )


if __name__ == "__main__":
    sys.exit(main())
