"""Rows from samples: times, verdicts and what makes them invalid, on samples that are made up."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.results import corrected, measured, recomputed
from bench.row import KEY, Row
from bench.statistics import LEVEL, TWIN_LIMIT, Verdict
from bench.stored import RunError
from bench.synthetic import Change, made_up


def row(threads: str = "one") -> Row:
    return Row(
        backend="numba", network="resnet50", workload="resnet50:conv1", op="conv2d",
        direction="forward", dtype="float32", batch=1, threads=threads, seed=1, times=1,
        macs=1_000_000, bytes_min=1, verdict="", reason="", repeat="python ...",
    )  # fmt: skip


def made(ratio: float, *, threads: str = "one", **how: Any) -> Row:
    return measured(row(threads), pd.DataFrame(made_up(ratio, **how)))


def slower(sample: dict[str, Any], factor: float) -> dict[str, Any]:
    return {**sample, **{n: int(factor * sample[n]) for n in ("wall_ns", "cpu_ns")}}


@pytest.mark.parametrize(
    "ratio, verdict", [(2.0, "FASTER"), (0.5, "SLOWER"), (1.0, "SAME"), (1.02, "UNDECIDED")]
)
def test_a_row_says_what_its_samples_say(ratio: float, verdict: str) -> None:
    found = made(ratio)
    assert found.verdict == verdict
    assert found.ratio == pytest.approx(ratio, rel=0.01)
    assert found.ratio_low < found.ratio < found.ratio_high  # type: ignore[operator]
    assert found.twin_ratio == pytest.approx(1, rel=0.01)
    assert (found.processes, found.rounds, found.flags) == (3, 54, "")
    assert found.time_median_s == pytest.approx(0.008 / ratio, rel=0.01)
    assert found.torch_median_s == pytest.approx(0.008, rel=0.01)
    assert found.gflops_per_s == pytest.approx(2e6 / 0.008 * ratio / 1e9, rel=0.01)
    assert (found.dirty_share, found.cores_used) == (0, 1)


def test_the_same_row_comes_from_samples_in_any_order_and_from_a_file(tmp_path: Any) -> None:
    samples = pd.DataFrame(made_up(1.3))
    path = tmp_path / "samples.csv"
    samples[::-1].to_csv(path, index=False)
    assert measured(row(), pd.read_csv(path)) == measured(row(), samples)


def test_one_thread_is_timed_by_the_processor_and_all_cores_by_the_wall() -> None:
    def waits(sample: dict[str, Any]) -> dict[str, Any]:
        return {**sample, "wall_ns": 3 * sample["wall_ns"] if sample["arm"] == "torch" else
                sample["wall_ns"]}  # fmt: skip

    samples = pd.DataFrame(made_up(1.0, change=waits))
    assert measured(row(), samples).ratio == pytest.approx(1, rel=0.01)
    assert measured(row("all"), samples).ratio == pytest.approx(3, rel=0.01)


def preempted(sample: dict[str, Any]) -> dict[str, Any]:
    wait = sample["wall_ns"]
    return {**sample, "wall_ns": 2 * wait, "delay_ns": wait}


def other_twin(sample: dict[str, Any]) -> dict[str, Any]:
    return slower(sample, 1.1) if sample["arm"] == "twin" else sample


def after_torch(sample: dict[str, Any]) -> dict[str, Any]:
    late = sample["arm"] == "backend" and sample["before"] == "torch"
    return slower(sample, 1.2) if late else sample


def two_threads(sample: dict[str, Any]) -> dict[str, Any]:
    cost = sample["wall_ns"] // 2 if sample["arm"] == "backend" else sample["wall_ns"]
    return {**sample, "wall_ns": cost}


def elsewhere(sample: dict[str, Any]) -> dict[str, Any]:
    cost = sample["cpu_ns"] // 10 if sample["arm"] == "backend" else sample["cpu_ns"]
    return {**sample, "cpu_ns": cost}


@pytest.mark.parametrize(
    "change, threads, reason",
    [
        (preempted, "all", "100% of the samples were kept from a core"),
        (two_threads, "one", "it used 2.0 cores, but should use one thread"),
        (elsewhere, "one", "only 10% of its time passed on the processor: it waits for something"),
    ],
)
def test_what_makes_a_row_invalid(change: Change, threads: str, reason: str) -> None:
    found = made(2.0, noise=0.001, change=change, threads=threads)
    assert found.verdict == Verdict.INVALID
    assert reason in found.reason
    # Without it the row is as clear as can be.
    assert made(2.0, noise=0.001, threads=threads).verdict == Verdict.FASTER


@pytest.mark.parametrize(
    "change, reason",
    [
        (after_torch, "the arm before changes the ratio by 20%"),
        (other_twin, "PyTorch differs from itself by 9%"),
    ],
)
def test_a_disturbance_makes_a_row_invalid_that_it_may_decide(change: Change, reason: str) -> None:
    near = made(1.1, noise=0.001, change=change)
    assert (near.verdict, near.reason) == (Verdict.INVALID, reason)
    assert made(1.1, noise=0.001).verdict == Verdict.FASTER
    far = made(2.0, noise=0.001, change=change)
    assert (far.verdict, far.reason) == (Verdict.FASTER, "")


def test_a_twin_that_is_off_by_chance_makes_the_interval_wide_and_no_more() -> None:
    unlucky = next(r for r in (made(2.0, noise=0.4, seed=n) for n in range(50))
                   if abs(np.log(r.twin_ratio or 1)) > TWIN_LIMIT)  # fmt: skip
    assert unlucky.verdict != Verdict.INVALID


def test_preemption_is_counted_on_one_thread_and_changes_no_ratio() -> None:
    found = made(2.0, change=preempted)
    assert (found.dirty_share, found.verdict) == (1, Verdict.FASTER)
    assert found.ratio == made(2.0).ratio


def test_on_all_cores_a_backend_may_use_them() -> None:
    assert made(1.0, change=two_threads, threads="all").verdict == Verdict.FASTER


def drifting(sample: dict[str, Any]) -> dict[str, Any]:
    late = sample["arm"] == "backend"
    return slower(sample, 1 + 0.01 * sample["round"]) if late else sample


def two_modes(sample: dict[str, Any]) -> dict[str, Any]:
    late = sample["arm"] == "backend" and sample["round"] % 5 < 2
    return slower(sample, 1.2) if late else sample


@pytest.mark.parametrize(
    "change, flag", [(drifting, "drift"), (after_torch, "carry_over"), (two_modes, "modes")]
)
def test_a_flag_is_raised_for_its_fault_alone(change: Change, flag: str) -> None:
    found = made(2.0, noise=0.001, change=change)
    # An arm that is slow in a third of its rounds has two modes as well.
    assert flag in found.flags.split()
    assert {*found.flags.split()} <= {flag, "modes"}
    assert abs(asdict(found)[flag]) > 0.05


def test_a_claim_among_many_must_be_surer() -> None:
    p = LEVEL - 0.005
    claim = replace(made(2.0), p_value=p)
    (alone,) = corrected([claim])
    assert (alone.verdict, alone.p_adjusted) == (Verdict.FASTER, p)
    others = [replace(claim, p_value=0.9, verdict=Verdict.UNDECIDED)] * 9
    first, *_ = corrected([claim, *others])
    assert first.verdict == Verdict.UNDECIDED
    assert first.reason == "FASTER alone, but not sure enough among all claims of the run"
    assert first.p_adjusted == pytest.approx(10 * p)


def test_a_stored_row_that_lost_its_samples_is_refused() -> None:
    samples = pd.DataFrame(made_up(2.0)).assign(**{name: getattr(row(), name) for name in KEY})
    (found,) = recomputed([replace(row(), verdict="SLOWER", ratio=0.1)], samples)
    assert (found.verdict, found.ratio) == (Verdict.FASTER, made(2.0).ratio)
    with pytest.raises(RunError, match="must hold the samples of numba resnet50:conv1 forward one"):
        recomputed([found], samples[:0])


def test_what_claims_nothing_is_not_counted() -> None:
    claim = replace(made(2.0), p_value=LEVEL - 0.005)
    invalid = replace(claim, p_value=0.9, verdict=Verdict.INVALID)
    skipped = replace(row(), verdict=Verdict.SKIPPED)
    found = corrected([claim, *[invalid] * 5, *[skipped] * 5])
    assert [r.verdict for r in found] == ["FASTER"] + ["INVALID"] * 5 + ["SKIPPED"] * 5
    assert found[1:] == [invalid] * 5 + [skipped] * 5
