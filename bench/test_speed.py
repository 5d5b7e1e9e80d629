"""Every task of a run as a pytest-benchmark test: its table, JSON, storage and compare work on it.

A worker has measured the samples, paired with PyTorch's (duel.py), in laps (plan.py); in the last
one they are replayed through pytest-benchmark with a clock that they drive.
`pytest bench/test_speed.py` runs the smoke preset; `python -m bench run` any other. With
--benchmark-disable every arm runs once.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest

from bench.duel import Duels, Outcome, backend_seconds, label
from bench.plan import PLAN
from bench.row import Row
from bench.statistics import BAD, Verdict
from bench.workloads.presets import Task


class Clock:
    """A clock that stands still until a round tells how long it took."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


CLOCK = Clock()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    plan = metafunc.config.stash[PLAN]
    laps: list[int | None] = [*range(1, plan.laps), None]
    if metafunc.config.getoption("benchmark_disable"):
        laps = [None]
    found = [(lap, *asked) for lap in laps for asked in plan.tasks()]
    ids = [
        f"{label(spec)}-{task.workload}-{task.direction}-{threads}" + (f"-lap{lap}" if lap else "")
        for lap, spec, threads, task in found
    ]
    metafunc.parametrize("lap, spec, threads, task", found, ids=ids)


@pytest.fixture(scope="session")
def duels(request: pytest.FixtureRequest) -> Iterator[Duels]:
    plan = request.config.stash[PLAN]
    duels = Duels(plan.preset, once=request.config.getoption("benchmark_disable"))
    yield duels
    duels.close()


# pytest-benchmark warns of a test that times nothing: what is skipped or failed does not.
@pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")
@pytest.mark.benchmark(timer=CLOCK)
def test_speed(
    lap: int | None,
    spec: str,
    threads: str,
    task: Task,
    duels: Duels,
    benchmark: Any,
    request: pytest.FixtureRequest,
) -> None:
    plan = request.config.stash[PLAN]
    outcomes = plan.run(duels, spec, task, threads, lap)
    said = "; ".join(_said(outcome.row) for outcome in outcomes)
    progress = plan.progress(spec)
    request.node.user_properties.append(("said", f"{said} ({progress})" if progress else said))
    if lap:
        return
    row = outcomes[-1].row
    if row.verdict in BAD:
        why = f"{row.backend} {row.workload} {row.direction}: {row.reason}"
        pytest.fail(f"{why}\nrepeat: {row.repeat}", pytrace=False)
    _replay(benchmark, outcomes[-1])
    if row.verdict == Verdict.SKIPPED and not duels.once:
        pytest.skip(row.reason)


def _replay(benchmark: Any, outcome: Outcome) -> None:
    """Let pytest-benchmark time the samples again, by the clock that they drive."""
    row = outcome.row
    seconds = iter(backend_seconds(outcome))

    def replay() -> None:
        CLOCK.now_s += next(seconds, 0.0)

    benchmark.group = f"{row.workload} {row.direction} {row.threads}"
    benchmark.extra_info.update(asdict(row))
    if outcome.samples or benchmark.disabled:
        benchmark.pedantic(replay, rounds=row.rounds or 1)


def _said(row: Row) -> str:
    return row.verdict if row.ratio is None else f"{row.ratio:.3g}x {row.verdict}"
