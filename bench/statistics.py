"""From paired samples to a ratio, its interval and a verdict. The only thresholds of the bench.

A ratio is PyTorch's time over the backend's, in one round; 2 means twice as fast. All statistics
are of its logarithm, so that a ratio and its inverse weigh the same.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import comb, exp, inf, log

import numpy as np
from numpy import ndarray

CONFIDENCE = 0.95
# The least that counts as a difference; on all cores the neighbors of a machine disturb more.
BAND = {"one": 0.03, "all": 0.10}
# The least noise that is believed, however quiet the twin was.
FLOOR = 0.01
# The twin is PyTorch again: where it differs from itself by this much, nothing can be said.
TWIN_LIMIT = 0.05
# A wider band would call very different times the same.
SAME_BAND_LIMIT = 0.10
# Share of samples that were preempted, beyond which nothing can be said.
DIRTY_LIMIT = {"one": 0.50, "all": 0.10}


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


# A wrong result, a crash, a hang: these fail a run.
BAD = (Verdict.FAILED, Verdict.ERROR, Verdict.TIMEOUT)
# A time that may be believed.
RATED = (Verdict.FASTER, Verdict.SLOWER, Verdict.SAME, Verdict.UNDECIDED)


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median of paired ratios with its interval."""

    median: float
    low: float
    high: float


def ratio(reference: ndarray, arm: ndarray) -> Ratio:
    """Median of reference / arm over rounds, with an exact, distribution-free interval."""
    logs = np.sort(np.log(reference / arm))
    low, high = _median_interval(logs)
    return Ratio(exp(float(np.median(logs))), exp(low), exp(high))


def judge(arm: Ratio, twin: Ratio, dirty: float, threads: str) -> tuple[Verdict, str]:
    """(verdict, reason). twin: the reference against itself; dirty: share of preempted samples."""
    if abs(log(twin.median)) > TWIN_LIMIT:
        return Verdict.INVALID, f"PyTorch differs from itself by {abs(twin.median - 1):.0%}"
    if dirty > DIRTY_LIMIT[threads]:
        return Verdict.INVALID, f"{dirty:.0%} of the samples were preempted"
    band = _band(twin, threads)
    low, high = log(arm.low), log(arm.high)
    if low > band:
        return Verdict.FASTER, ""
    if high < -band:
        return Verdict.SLOWER, ""
    if band <= SAME_BAND_LIMIT and -band <= low and high <= band:
        return Verdict.SAME, ""
    if band > SAME_BAND_LIMIT:
        return Verdict.UNDECIDED, f"too noisy: PyTorch beside itself varies by {band / 2:.1%}"
    reason = "the interval is wide" if high - low > band else "the ratio is near the band's edge"
    return Verdict.UNDECIDED, f"{reason} (band {band:.1%})"


def _band(twin: Ratio, threads: str) -> float:
    """Half-width, in log ratio, of what counts as the same: twice the noise that the twin shows."""
    half_width = (log(twin.high) - log(twin.low)) / 2
    noise = max(FLOOR, half_width + abs(log(twin.median)))
    return max(BAND[threads], 2 * noise)


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
