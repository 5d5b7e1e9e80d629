"""From paired samples to a ratio, its interval and a verdict. The only thresholds of the bench.

A ratio is PyTorch's time over the backend's, in one round; 2 means twice as fast. All statistics
are of its logarithm, so that a ratio and its inverse weigh the same. They have two levels: rounds
lie in processes, and what is estimated is the ratio of a process still to be started.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import comb, exp, inf, log

import numpy as np
from numpy import ndarray
from scipy import stats

CONFIDENCE = 0.95
# The least that counts as a difference; on all cores the neighbors of a machine disturb more.
BAND = {"one": 0.02, "all": 0.10}
# A row is looked at after each process, and ends early if its claim is as sure as this. What the
# looks may add to the false claims, the last one pays: their sum stays below 1 - CONFIDENCE.
SURE = 0.005
EARLY_LOOKS = 3
LEVEL = 1 - CONFIDENCE - EARLY_LOOKS * SURE
# The twin is PyTorch again: where it surely differs, and by so much, nothing can be said. Where it
# may differ by chance, as beside a slow backend with few rounds, the ratio's own interval is wide.
TWIN_LIMIT = 0.05
# Share of samples that were kept from a core, beyond which nothing can be said. On one thread they
# are counted only: beside two burners on two cores 97 % were, and six ratios by processor time read
# 0.92 to 0.96 where 0.952 is true; their intervals tell the rest.
DIRTY_LIMIT = {"one": 1.0, "all": 0.10}
# What a sample may owe to the arm that ran before it.
CARRY_OVER_LIMIT = 0.10
# Cores that one thread can use, with some tolerance for what a kernel's runtime does beside it.
CORES_LIMIT = 1.10
# A backend that is on the processor for less of its time than this share of PyTorch's waits
# for another process or device: its processor time says nothing.
PRESENCE_LIMIT = 0.5
# A flag must be this unlikely by chance, and the effect beyond the band.
FLAG_LEVEL = 0.01
# Ashman's D of the best split of one normal mode stays below; two modes that touch reach it.
MODES_LIMIT = 5.0
# Each of two modes holds at least this share: fewer are outliers, which a median survives.
MODE_SHARE = 0.2


class Verdict(StrEnum):
    """What a timing says. Only FASTER, SLOWER and SAME are claims."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    SAME = "SAME"
    UNDECIDED = "UNDECIDED"
    INVALID = "INVALID"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    ERROR = "ERROR"
    TIMEOUT = "TIMEOUT"


CLAIMS = (Verdict.FASTER, Verdict.SLOWER, Verdict.SAME)
# A wrong result, a crash, a hang: these fail a run.
BAD = (Verdict.FAILED, Verdict.ERROR, Verdict.TIMEOUT)
# A time that may be believed.
RATED = (Verdict.FASTER, Verdict.SLOWER, Verdict.SAME, Verdict.UNDECIDED)


@dataclass(frozen=True, slots=True)
class Ratio:
    """The mean of the processes' median ratios, with its interval."""

    median: float
    low: float
    high: float


def ratio(logs: Sequence[ndarray]) -> Ratio:
    """The ratio that log ratios tell, an array per process.

    Several processes: Student's t interval of their medians, which counts what differs between
    processes as well as between rounds (Kalibera and Jones 2013). A bootstrap of so few processes
    is too sure: of three, its 95 % interval holds 8 of 10 times. One process: order statistics.
    """
    if len(logs) == 1:
        low, high = _median_interval(np.sort(logs[0]))
        return Ratio(exp(float(np.median(logs[0]))), exp(low), exp(high))
    mean, error = _mean(logs)
    half_width = error * float(stats.t.ppf((1 + CONFIDENCE) / 2, len(logs) - 1))
    return Ratio(exp(mean), exp(mean - half_width), exp(mean + half_width))


def p_value(logs: Sequence[ndarray], twin: Ratio, threads: str) -> float:
    """How likely so clear a claim is by chance: beyond the band for a ratio there, else within it.

    What the twin differs from 1 for certain is taken off the distance to the band's edge.
    """
    band, known = BAND[threads], bias(twin)
    if len(logs) == 1:
        (rounds,) = logs
        side = np.sign(np.median(rounds))
        beyond = np.sum(side * rounds <= band + known)
        within = max(np.sum(rounds >= band - known), np.sum(rounds <= known - band))
        return float(min(1.0, 2 * stats.binom.cdf(min(beyond, within), len(rounds), 0.5)))
    mean, error = _mean(logs)
    margin = max(abs(mean) - band - known, band - known - abs(mean), 0.0)
    if error == 0:
        return float(margin == 0)
    return float(2 * stats.t.sf(margin / error, len(logs) - 1))


def bias(twin: Ratio) -> float:
    """By how much the twin, PyTorch again, differs from PyTorch for certain, as a log ratio."""
    return log(max(1.0, twin.low, 1 / twin.high))


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Benjamini-Hochberg: of the claims below q, at most a share q is expected to be false."""
    if not p_values:
        return []
    return [float(p) for p in stats.false_discovery_control(p_values)]


def judge(median: float, p: float, threads: str) -> tuple[Verdict, str]:
    """(verdict, reason) of a valid ratio. p: of its claim."""
    if p <= LEVEL:
        if abs(log(median)) <= BAND[threads]:
            return Verdict.SAME, ""
        return (Verdict.FASTER if median > 1 else Verdict.SLOWER), ""
    return Verdict.UNDECIDED, f"too near the edge of the {BAND[threads]:.0%} band for its interval"


def drift(logs: Sequence[ndarray]) -> tuple[float, bool]:
    """(By how much log ratios of later rounds lie above those of earlier ones, is it a trend)."""
    halves = [np.arange(len(rounds)) >= len(rounds) / 2 for rounds in logs]
    times = np.concatenate([np.arange(len(rounds)) / len(rounds) for rounds in logs])
    centered, later = _centered(logs), np.concatenate(halves)
    if len(centered) < 8 or np.ptp(centered) == 0:
        return 0.0, False
    shift = float(np.median(centered[later]) - np.median(centered[~later]))
    return shift, bool(stats.spearmanr(times, centered).pvalue < FLAG_LEVEL)


def carry_over(logs: Sequence[ndarray], before: Sequence[ndarray]) -> tuple[float, bool]:
    """(How far log ratios lie apart by the arm before, is it more than chance).

    before: the name of the arm before, as an array per process like logs.
    """
    centered, names = _centered(logs), np.concatenate(before)
    groups = [centered[names == name] for name in np.unique(names)]
    groups = [group for group in groups if len(group) >= 5]
    if len(groups) < 2 or np.ptp(centered) == 0:
        return 0.0, False
    medians = [float(np.median(group)) for group in groups]
    return max(medians) - min(medians), bool(stats.kruskal(*groups).pvalue < FLAG_LEVEL)


def may_decide(disturbance: float, median: float, threads: str) -> bool:
    """Whether a log ratio that is wrong by a disturbance may lie on the band's other side.

    A tenth does not turn a ratio of 0.3: such a row is flagged, but stands. While rows like it were
    left out, two runs on a machine that lost 40 % of its time left out 21 and 17 of 138, not the
    same, and the geometric means of im2col and numba differed by 2.6 and 2.7 %; now by 1.7 and 2.2.
    """
    return abs(log(median)) <= BAND[threads] + disturbance


def modes(logs: Sequence[ndarray]) -> tuple[float, bool]:
    """(How far apart the two halves of the best split lie, are they two modes).

    Ashman, Bird and Zepf 1994: D = sqrt(2) * distance / sqrt(variance + variance).
    """
    ordered = np.sort(np.concatenate(logs))
    least = max(4, int(np.ceil(MODE_SHARE * len(ordered))))
    splits = [np.split(ordered, [k]) for k in range(least, len(ordered) - least + 1)]
    if not splits:
        return 0.0, False
    lower, upper = min(splits, key=lambda split: sum(len(s) * float(np.var(s)) for s in split))
    distance = float(upper.mean() - lower.mean())
    spread = float(np.var(lower) + np.var(upper))
    return distance, distance * 2**0.5 > MODES_LIMIT * spread**0.5


def _mean(logs: Sequence[ndarray]) -> tuple[float, float]:
    """(Mean of the processes' medians, its standard error)."""
    medians = [float(np.median(rounds)) for rounds in logs]
    return float(np.mean(medians)), float(np.std(medians, ddof=1)) / len(medians) ** 0.5


def _centered(logs: Sequence[ndarray]) -> ndarray:
    """All log ratios less the median of their process."""
    return np.concatenate([rounds - np.median(rounds) for rounds in logs])


def _median_interval(ordered: ndarray) -> tuple[float, float]:
    """Interval of the median by order statistics; infinite for fewer than 6 values.

    The k-th smallest and k-th largest of n enclose the median with probability
    1 - 2 * P(Binomial(n, 1/2) < k).
    """
    n, k, tail = len(ordered), 0, 0.0
    while k < n and 2 * (tail + comb(n, k) / 2**n) <= 1 - CONFIDENCE:
        tail += comb(n, k) / 2**n
        k += 1
    return (float(ordered[k - 1]), float(ordered[n - k])) if k else (-inf, inf)
