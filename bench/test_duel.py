"""Workers: what is wrong, slow, crashing or hanging costs its own rows and says why."""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import impls
from bench import duel
from bench.duel import Duels
from bench.machine import ROOT
from bench.statistics import Verdict
from bench.timing import MIN_ROUNDS
from bench.workloads.presets import PRESETS, Task

# One process where several would show nothing else: starting them is what takes time. No row is
# too slow on a machine that holds up a call for a while; what is too slow has a test of its own.
SMOKE = replace(PRESETS["smoke"], processes=(1, 1), call_cap_s=60.0)
CONV = Task("simplecnn:conv1@1/4", "forward")
SOURCE = """
import time
from impls import im2col
from impls.im2col import *

def conv(*arrays, **params):
    output = im2col.conv(*arrays, **params)
    {sin}
    return output
"""


@pytest.fixture
def duels() -> Iterator[Duels]:
    found = Duels(SMOKE, once=False)
    yield found
    found.close()


@pytest.fixture
def many_duels(request: pytest.FixtureRequest) -> Iterator[Duels]:
    found = Duels(replace(SMOKE, processes=request.param), once=False)
    yield found
    found.close()


def sinning(tmp_path: Path, sin: str) -> str:
    path = tmp_path / "sinning.py"
    path.write_text(SOURCE.format(sin=sin))
    return str(path)


def test_a_right_backend_is_timed_beside_pytorch(duels: Duels) -> None:
    (outcome,) = duels.run("im2col", CONV, "one")
    row = outcome.row
    assert row.verdict not in (Verdict.FAILED, Verdict.SKIPPED)
    assert row.ratio_low <= row.ratio <= row.ratio_high  # type: ignore[operator]
    assert row.rounds >= MIN_ROUNDS  # type: ignore[operator]
    assert {s["arm"] for s in outcome.samples} == {"backend", "torch", "twin"}
    assert len(duel.backend_seconds(outcome)) == row.rounds
    assert row.grade is not None
    assert 0 < row.grade < 4
    assert 0 < row.gflops_per_s < row.peak_gflops_per_s  # type: ignore[operator]
    assert set(duels.proofs["im2col, one"].values()) == {1}


@pytest.mark.parametrize("many_duels", [(2, 3)], indirect=True)
def test_a_row_is_timed_in_more_processes_until_its_claim_is_sure(
    many_duels: Duels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duel, "SURE", 1.0)
    (sure,) = many_duels.run("im2col", CONV, "one")
    assert sure.row.processes == 2
    assert {s["process"] for s in sure.samples} == {0, 1}
    monkeypatch.setattr(duel, "SURE", -1.0)
    (never_sure,) = many_duels.run("im2col", CONV, "one")
    assert never_sure.row.processes == 3
    assert {s["process"] for s in never_sure.samples} == {0, 1, 2}
    assert len({s["wall_ns"] for s in never_sure.samples if s["arm"] == "backend"}) > 3


@pytest.mark.parametrize("many_duels", [(2, 3)], indirect=True)
def test_a_row_goes_on_from_earlier_processes(
    many_duels: Duels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duel, "SURE", 1.0)
    earlier = many_duels.run("im2col", CONV, "one", processes=1)
    assert [o.row.processes for o in earlier] == [1]
    (outcome,) = many_duels.run("im2col", CONV, "one", earlier)
    assert outcome.row.processes == 2
    kept = [s for s in outcome.samples if s["process"] == 0]
    assert kept == earlier[0].samples
    assert {s["process"] for s in outcome.samples} == {0, 1}


def test_a_wrong_result_is_not_timed(duels: Duels, tmp_path: Path) -> None:
    (outcome,) = duels.run(sinning(tmp_path, "output[-1, -1, -1, -1] += 1e-3"), CONV, "one")
    assert outcome.row.verdict == Verdict.FAILED
    assert outcome.row.reason.startswith("forward[0, 31, 7, 7]=")
    assert outcome.samples == []


def test_an_answer_of_the_wrong_dtype_fails(duels: Duels, tmp_path: Path) -> None:
    spec = sinning(tmp_path, "output = output.astype('float64')")
    (outcome,) = duels.run(spec, CONV, "one")
    assert outcome.row.verdict == Verdict.FAILED
    assert outcome.row.reason == "conv returned <f8, but should be <f4"


def test_a_missing_kernel_is_skipped(duels: Duels, tmp_path: Path) -> None:
    path = tmp_path / "partial.py"
    path.write_text("from impls.im2col import conv")
    (outcome,) = duels.run(str(path), Task("simplecnn:conv1@1/4", "grad_input"), "one")
    assert (outcome.row.verdict, outcome.row.reason) == (
        Verdict.SKIPPED,
        "partial has no kernel conv_grad_input",
    )


def test_a_crash_costs_its_row_and_not_the_next(duels: Duels, tmp_path: Path) -> None:
    spec = sinning(tmp_path, "raise ZeroDivisionError('no luck')")
    (crashed,) = duels.run(spec, CONV, "one")
    assert crashed.row.verdict == Verdict.ERROR
    assert "ZeroDivisionError: no luck" in crashed.row.reason
    (next_one,) = duels.run(spec, Task("simplecnn:fc", "forward"), "one")
    assert next_one.row.ratio is not None


def test_a_dead_worker_costs_its_row_and_not_the_next(duels: Duels, tmp_path: Path) -> None:
    spec = sinning(tmp_path, "import os; os._exit(3)")
    (dead,) = duels.run(spec, CONV, "one")
    assert (dead.row.verdict, dead.row.reason) == (
        Verdict.ERROR,
        f"the worker of {spec} ended with exit status 3",
    )
    (next_one,) = duels.run(spec, Task("simplecnn:fc", "forward"), "one")
    assert next_one.row.ratio is not None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits all of a process's memory")
def test_a_backend_that_eats_memory_costs_its_row_and_not_the_next(
    duels: Duels, tmp_path: Path
) -> None:
    spec = sinning(tmp_path, "import numpy; eaten = [numpy.empty(2**27) for _ in range(10**4)]")
    (eater,) = duels.run(spec, CONV, "one")
    assert eater.row.verdict == Verdict.ERROR
    assert "MemoryError" in eater.row.reason
    (next_one,) = duels.run(spec, Task("simplecnn:fc", "forward"), "one")
    assert next_one.row.ratio is not None


def test_a_hanging_backend_is_ended(
    duels: Duels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = sinning(tmp_path, "time.sleep(600)")
    duels.run("im2col", CONV, "one")  # a worker needs longer to start than to answer
    duels.run(spec, Task("simplecnn:fc", "forward"), "one")
    monkeypatch.setattr(duel, "ANSWER_S", 2.0)
    (hung,) = duels.run(spec, CONV, "one")
    assert (hung.row.verdict, hung.row.reason) == (
        Verdict.TIMEOUT,
        f"no answer from {spec} for 2 s",
    )


def test_too_slow_a_call_is_skipped_with_its_estimate_and_its_twin_timed(tmp_path: Path) -> None:
    # The twin has a sixteenth of the pixels, so of the estimate.
    sin = "time.sleep(output.size * 1e-6)"
    duels = Duels(replace(SMOKE, call_cap_s=0.02), once=False)
    try:
        skipped, twin = duels.run(sinning(tmp_path, sin), Task("simplecnn:conv1", "forward"), "one")
    finally:
        duels.close()
    assert skipped.row.verdict == Verdict.SKIPPED
    estimate = re.fullmatch(r"a call would take (\S+) s, the cap is 0.02 s", skipped.row.reason)
    assert estimate is not None
    assert 0.03 < float(estimate[1]) < 0.3
    assert skipped.samples == []
    assert twin.row.workload == "simplecnn:conv1@1/4"
    assert twin.row.ratio is not None


def test_once_runs_every_arm_without_a_time() -> None:
    duels = Duels(SMOKE, once=True)
    try:
        (outcome,) = duels.run("im2col", CONV, "one")
    finally:
        duels.close()
    assert outcome.row.reason == "not timed: every arm ran once"
    assert outcome.row.ratio is None


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core only")
def test_all_cores_means_all_pools(duels: Duels) -> None:
    duels.run("numba", Task("simplecnn:fc", "forward"), "all")
    assert set(duels.proofs["numba, all"].values()) == {len(os.sched_getaffinity(0))}


def test_a_backend_that_cannot_be_imported_says_why(duels: Duels, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import a_module_that_is_not_there")
    (outcome,) = duels.run(str(path), CONV, "one")
    assert outcome.row.verdict == Verdict.ERROR
    assert "No module named 'a_module_that_is_not_there'" in outcome.row.reason


def test_the_report_judges_every_built_in() -> None:
    text = (ROOT / "noxfile.py").read_text()
    listed = re.search(r"BUILT_IN = \((.*)\)", text)
    assert listed is not None
    assert sorted(re.findall(r'"(\w+)"', listed[1])) == impls.names()
