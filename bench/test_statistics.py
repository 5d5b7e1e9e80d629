"""Ratios, intervals, claims and flags, on numbers whose answer is known."""

from collections import Counter
from collections.abc import Callable
from math import inf, log

import numpy as np
import pytest
from numpy import ndarray
from scipy import stats

from bench import statistics
from bench.statistics import EARLY_LOOKS, LEVEL, SURE, Ratio, Verdict, judge, p_value, ratio
from bench.workloads.presets import PRESETS

QUIET = Ratio(1.0, 0.999, 1.001)
BAND = statistics.BAND["one"]


def processes(
    rng: np.random.Generator, truth: float, *, count: int, between: float, within: float
) -> list[ndarray]:
    """Log ratios of 15 rounds in each process, with heavy tails."""
    return [
        truth + between * rng.standard_normal() + within * rng.standard_t(3, 15)
        for _ in range(count)
    ]


def spread(truth: float, error: float) -> list[ndarray]:
    """Three processes whose medians have this mean and this standard error."""
    return [np.full(5, truth + step * error * 3**0.5) for step in (-1, 0, 1)]


# --------------------------------------------------------------------------------- the interval


def test_ratio_is_the_mean_of_the_processes_medians() -> None:
    found = ratio([np.log([3.0, 8.0, 2.0]), np.log([1.0, 12.0, 27.0]), np.log([9.0, 6.0, 0.1])])
    assert found.median == pytest.approx((3 * 12 * 6) ** (1 / 3))
    assert ratio([-np.log([3.0, 8.0, 2.0])] * 2).median == pytest.approx(1 / 3)


def test_interval_of_processes_is_students() -> None:
    logs = [np.full(3, value) for value in (0.1, 0.2, 0.6)]
    found, low_high = ratio(logs), stats.ttest_1samp([0.1, 0.2, 0.6], 0).confidence_interval(0.95)
    assert (log(found.low), log(found.high)) == pytest.approx(tuple(low_high))


def test_interval_of_one_process_is_infinite_below_six_rounds() -> None:
    found = ratio([np.log(np.arange(1.0, 6.0))])
    assert (found.low, found.high) == (0.0, inf)


@pytest.mark.parametrize("rounds", [6, 15, 21, 61])
def test_interval_of_one_process_is_the_binomial_order_statistic(rounds: int) -> None:
    found = ratio([np.log(np.arange(1.0, rounds + 1))])
    k = int(stats.binom.ppf(0.025, rounds, 0.5))
    assert found.low == pytest.approx(k)
    assert found.high == pytest.approx(rounds + 1 - k)


@pytest.mark.parametrize(
    "count, between, within", [(1, 0.0, 0.1), (3, 0.0, 0.1), (3, 0.05, 0.02), (5, 0.03, 0.05)]
)
def test_interval_covers_the_truth_as_often_as_it_says(
    count: int, between: float, within: float
) -> None:
    rng = np.random.default_rng(1)
    found = [
        ratio(processes(rng, 0.0, count=count, between=between, within=within)) for _ in range(400)
    ]
    covered = sum(interval.low <= 1 <= interval.high for interval in found)
    assert covered >= 0.95 * 400 - 3 * np.sqrt(400 * 0.95 * 0.05)


# ------------------------------------------------------------------------------------- the claim


@pytest.mark.parametrize("error", [0.002, 0.005, 0.01, 0.02])
@pytest.mark.parametrize("truth", [-0.2, -0.05, 0.0, 0.02, 0.03, 0.05, 0.1, 0.5])
def test_a_claim_of_processes_is_sure_if_the_interval_is_on_one_side_of_the_band(
    truth: float, error: float
) -> None:
    logs = spread(truth, error)
    found = ratio(logs)
    low, high = log(found.low), log(found.high)
    is_clear = low > BAND or high < -BAND or (low > -BAND and high < BAND)
    assert (p_value(logs, QUIET, "one") < 0.05) == is_clear


@pytest.mark.parametrize("truth", [-0.2, -0.05, 0.0, 0.02, 0.05, 0.5])
def test_a_claim_of_one_process_is_sure_if_the_interval_is_on_one_side(truth: float) -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        logs = [truth + 0.03 * rng.standard_normal(15)]
        found = ratio(logs)
        low, high = log(found.low), log(found.high)
        is_clear = low > BAND or high < -BAND or (low > -BAND and high < BAND)
        assert (p_value(logs, QUIET, "one") < 0.05) == is_clear


def test_what_the_twin_differs_for_certain_is_taken_off_the_claim() -> None:
    biased = Ratio(1.03, 1.02, 1.04)
    for truth in (0.06, -0.06, 0.0, 0.01):
        logs = spread(truth, 0.001)
        assert p_value(logs, QUIET, "one") < p_value(logs, biased, "one")
    # Within its interval the twin may well be 1: nothing is known against it.
    assert p_value(logs, Ratio(1.03, 0.99, 1.07), "one") == p_value(logs, QUIET, "one")


@pytest.mark.parametrize(
    "median, p, threads, verdict",
    [
        (1.10, 0.01, "one", Verdict.FASTER),
        (0.90, 0.01, "one", Verdict.SLOWER),
        (1.015, 0.01, "one", Verdict.SAME),
        (0.985, 0.01, "one", Verdict.SAME),
        (1.10, 0.04, "one", Verdict.UNDECIDED),
        # What is a difference on one thread is none on all cores.
        (1.08, 0.01, "one", Verdict.FASTER),
        (1.08, 0.01, "all", Verdict.SAME),
    ],
)
def test_verdict(median: float, p: float, threads: str, verdict: Verdict) -> None:
    found, reason = judge(median, p, threads)
    assert found == verdict
    assert bool(reason) == (verdict == Verdict.UNDECIDED)


def verdicts(truth: float, *, between: float, within: float, trials: int = 300) -> Counter[str]:
    """What rows come to that are looked at after 3, 4, 5 and 6 processes, as those of a run are."""
    rng = np.random.default_rng(3)
    found: Counter[str] = Counter()
    for _ in range(trials):
        logs = processes(rng, truth, count=3, between=between, within=within)
        for _ in range(EARLY_LOOKS):
            if p_value(logs, QUIET, "one") <= SURE:
                break
            logs += processes(rng, truth, count=1, between=between, within=within)
        found[judge(ratio(logs).median, p_value(logs, QUIET, "one"), "one")[0]] += 1
    return found


@pytest.mark.parametrize("between, within", [(0.002, 0.02), (0.02, 0.1)])
def test_repeated_looks_keep_false_claims_below_their_share(between: float, within: float) -> None:
    # At the band's edge every claim is false; a look that did not pay would show here first.
    at_edge = verdicts(BAND, between=between, within=within)
    false = 300 - at_edge[Verdict.UNDECIDED]
    assert false <= 0.05 * 300 + 3 * np.sqrt(300 * 0.05 * 0.95)
    alike = verdicts(0.0, between=between, within=within)
    assert alike[Verdict.FASTER] + alike[Verdict.SLOWER] <= 0.01 * 300


def test_looks_that_do_not_pay_make_more_false_claims() -> None:
    """The check above can fail: claims at the full level after every process do."""
    rng, false = np.random.default_rng(4), 0
    for _ in range(300):
        logs = processes(rng, BAND, count=2, between=0.002, within=0.02)
        for _ in range(10):
            logs += processes(rng, BAND, count=1, between=0.002, within=0.02)
            if p_value(logs, QUIET, "one") <= 0.05:
                false += 1
                break
    assert false > 0.05 * 300 + 3 * np.sqrt(300 * 0.05 * 0.95)


def test_five_percent_are_found_where_rounds_vary_by_two() -> None:
    found = verdicts(-log(1.05), between=0.002, within=0.02)
    assert found[Verdict.SLOWER] >= 0.9 * 300
    assert found[Verdict.SAME] + found[Verdict.FASTER] == 0


def test_presets_look_no_more_often_than_the_level_allows() -> None:
    for preset in PRESETS.values():
        least, most = preset.processes
        assert most <= least + EARLY_LOOKS
        assert least >= (1 if preset.name == "smoke" else 3)
    assert pytest.approx(0.05) == LEVEL + EARLY_LOOKS * SURE


def test_adjusted_values_are_benjamini_and_hochbergs() -> None:
    p_values = [0.010, 0.001, 0.040, 0.50, 0.030]
    # p * m / rank, and never above that of a larger p.
    assert statistics.adjusted(p_values) == pytest.approx([0.025, 0.005, 0.05, 0.5, 0.05])
    assert statistics.adjusted([]) == []


def test_correction_keeps_false_discoveries_below_their_share() -> None:
    """Of 100 claims 80 are true of nothing: uncorrected, four of them would be made."""
    rng, shares, uncorrected = np.random.default_rng(5), [], []
    for _ in range(200):
        p_values = np.concatenate([rng.uniform(size=80), 1e-4 * rng.uniform(size=20)])
        made = np.array(statistics.adjusted(list(p_values))) <= 0.05
        shares.append(made[:80].sum() / max(1, made.sum()))
        uncorrected.append((p_values[:80] <= 0.05).sum() / (p_values <= 0.05).sum())
        assert made[80:].all()
    assert np.mean(shares) <= 0.05 < np.mean(uncorrected)


# ------------------------------------------------------------------------------------- the flags


def noise(seed: int, shape: str) -> list[ndarray]:
    rng = np.random.default_rng(seed)
    draw: dict[str, Callable[[int], ndarray]] = {
        "normal": rng.standard_normal,
        "heavy tails": lambda n: rng.standard_t(2, n),
        "skewed": rng.standard_exponential,
        "flat": lambda n: rng.uniform(-2, 2, n),
    }
    return [0.05 * draw[shape](20) for _ in range(3)]


def random_order(seed: int) -> list[ndarray]:
    return [np.random.default_rng([seed, k]).permutation(list("tw" * 10)) for k in range(3)]


@pytest.mark.parametrize("shape", ["normal", "heavy tails", "skewed", "flat"])
def test_noise_is_flagged_no_more_often_than_by_chance(shape: str) -> None:
    flagged = np.zeros(3)
    for seed in range(100):
        logs = noise(seed, shape)
        found = statistics.drift(logs), statistics.carry_over(logs, random_order(seed)), (
            statistics.modes(logs)
        )  # fmt: skip
        flagged += [sure for _, sure in found]
    # 1 of 100 is expected; six have a chance of 0.05 %.
    assert (flagged < 6).all(), flagged


@pytest.mark.parametrize("change", [0.06, -0.06])
def test_a_trend_is_flagged_with_its_size(change: float) -> None:
    logs = [rounds / 5 + np.linspace(0, 2 * change, 20) for rounds in noise(1, "normal")]
    shift, is_trend = statistics.drift(logs)
    assert is_trend
    assert shift == pytest.approx(change, abs=0.02)


def test_what_the_arm_before_leaves_is_flagged_with_its_size() -> None:
    before = random_order(2)
    logs = [
        rounds / 5 + 0.06 * (names == "w")
        for rounds, names in zip(noise(2, "normal"), before, strict=True)
    ]
    shift, is_sure = statistics.carry_over(logs, before)
    assert is_sure
    assert shift == pytest.approx(0.06, abs=0.015)


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_two_modes_are_flagged_with_their_distance(share: float) -> None:
    rng = np.random.default_rng(3)
    logs = [rounds / 5 + 0.1 * (rng.random(20) < share) for rounds in noise(3, "normal")]
    distance, are_two = statistics.modes(logs)
    assert are_two
    assert distance == pytest.approx(0.1, abs=0.015)


def test_processes_that_differ_are_modes_but_neither_drift_nor_carry_over() -> None:
    logs = [rounds / 5 + step for rounds, step in zip(noise(4, "normal"), (0, 0, 0.1), strict=True)]
    assert statistics.modes(logs)[1]
    assert not statistics.drift(logs)[1]
    assert not statistics.carry_over(logs, random_order(4))[1]


def test_few_or_equal_rounds_are_not_flagged() -> None:
    for logs in ([np.array([0.0, 1.0, 2.0])] * 2, [np.ones(20)] * 2):
        before = [np.array(list("tw" * 10))[: len(rounds)] for rounds in logs]
        assert statistics.drift(logs) == (0.0, False)
        assert statistics.carry_over(logs, before) == (0.0, False)
        assert not statistics.modes(logs)[1]


def test_ratio_and_inverse_weigh_the_same() -> None:
    logs = noise(5, "skewed")
    found, inverse = ratio(logs), ratio([-rounds for rounds in logs])
    assert found.median == pytest.approx(1 / inverse.median)
    assert (found.low, found.high) == pytest.approx((1 / inverse.high, 1 / inverse.low))
