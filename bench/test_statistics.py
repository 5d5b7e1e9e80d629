"""Ratios, intervals and verdicts, on numbers whose answer is known."""

from math import exp, inf

import numpy as np
import pytest
from scipy import stats

from bench.statistics import Ratio, Verdict, judge, ratio

QUIET = Ratio(1.0, 0.999, 1.001)


def around(median: float, half_width: float) -> Ratio:
    return Ratio(median, median * exp(-half_width), median * exp(half_width))


def test_ratio_is_the_median_of_paired_ratios() -> None:
    reference, arm = np.array([3.0, 8.0, 1.0, 4.0, 6.0, 9.0, 5.0]), np.full(7, 2.0)
    assert ratio(reference, arm).median == pytest.approx(2.5)
    assert ratio(arm, reference).median == pytest.approx(1 / 2.5)


def test_interval_is_infinite_below_six_rounds() -> None:
    found = ratio(np.arange(1.0, 6.0), np.ones(5))
    assert (found.low, found.high) == (0.0, inf)


@pytest.mark.parametrize("rounds", [6, 15, 21, 61])
def test_interval_is_the_binomial_order_statistic(rounds: int) -> None:
    found = ratio(np.arange(1.0, rounds + 1), np.ones(rounds))
    k = int(stats.binom.ppf(0.025, rounds, 0.5))
    assert found.low == pytest.approx(k)
    assert found.high == pytest.approx(rounds + 1 - k)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    found = [ratio(np.exp(rng.standard_t(2, 21)), np.ones(21)) for _ in range(400)]
    covered = sum(interval.low <= 1 <= interval.high for interval in found)
    assert covered >= 0.95 * 400 - 3 * np.sqrt(400 * 0.95 * 0.05)


@pytest.mark.parametrize(
    "arm, twin, dirty, threads, verdict",
    [
        (around(1.10, 0.02), QUIET, 0.0, "one", Verdict.FASTER),
        (around(0.90, 0.02), QUIET, 0.0, "one", Verdict.SLOWER),
        (around(1.00, 0.02), QUIET, 0.0, "one", Verdict.SAME),
        (around(1.05, 0.04), QUIET, 0.0, "one", Verdict.UNDECIDED),
        (around(1.00, 0.20), QUIET, 0.0, "one", Verdict.UNDECIDED),
        # What is a difference on one thread is none on all cores, and none beside a noisy twin.
        (around(1.08, 0.01), QUIET, 0.0, "one", Verdict.FASTER),
        (around(1.08, 0.01), QUIET, 0.0, "all", Verdict.SAME),
        (around(1.08, 0.01), around(1.02, 0.02), 0.0, "one", Verdict.UNDECIDED),
        (around(1.00, 0.01), around(1.00, 0.20), 0.0, "one", Verdict.UNDECIDED),
        (around(2.00, 0.01), around(1.00, 0.20), 0.0, "one", Verdict.FASTER),
        (around(2.00, 0.01), around(1.08, 0.01), 0.0, "one", Verdict.INVALID),
        (around(2.00, 0.01), QUIET, 0.6, "one", Verdict.INVALID),
        (around(2.00, 0.01), QUIET, 0.2, "one", Verdict.FASTER),
        (around(2.00, 0.01), QUIET, 0.2, "all", Verdict.INVALID),
    ],
)
def test_verdict(arm: Ratio, twin: Ratio, dirty: float, threads: str, verdict: Verdict) -> None:
    found, reason = judge(arm, twin, dirty, threads)
    assert found == verdict
    assert bool(reason) == (verdict in (Verdict.UNDECIDED, Verdict.INVALID))
