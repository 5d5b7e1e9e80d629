"""From log ratios to PyTorch, old and new, to the verdict on a change. The compare's thresholds.

A change is the new ratio over the old one; 2 means twice as fast as before. PyTorch is the common
reference: what slows the machine slows it too, so absolute times never enter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy import ndarray
from scipy import stats

from bench import statistics
from bench.statistics import CONFIDENCE, Verdict

# The least change that counts, of processes side by side and of two stored runs: those differ by
# what moved between them too, and the wider band still lets them be the same.
PAIRS_BAND = {"one": 0.05, "all": 0.10}
RUNS_BAND = {"one": 0.10, "all": 0.20}
# Standard deviation by which a run's log ratio differs from another's of the same sources, beside
# what its processes show: measured between processes, 1.5 to 2.8 %.
BETWEEN_RUNS = {"one": 0.02, "all": 0.05}
# Of false claims among all claims of a comparison.
LEVEL = 1 - CONFIDENCE


@dataclass(frozen=True, slots=True)
class Change:
    """New over old with its interval, and how likely a claim as clear as this is by chance."""

    ratio: float
    low: float
    high: float
    band: float
    p_value: float


def of_runs(old: Sequence[ndarray], new: Sequence[ndarray], threads: str) -> Change:
    """The change between two stored runs. old, new: log ratios, an array per process."""
    known = 2 * BETWEEN_RUNS[threads] ** 2
    (old_mean, old_error, old_df), (new_mean, new_error, new_df) = map(_mean, (old, new))
    variance = known + old_error**2 + new_error**2
    # Welch and Satterthwaite; what is known has no uncertainty of its own.
    uncertain = old_error**4 / old_df + new_error**4 / new_df
    df = variance**2 / uncertain if uncertain else np.inf
    return _change(new_mean - old_mean, variance**0.5, df, RUNS_BAND[threads])


def of_pairs(differences: ndarray, threads: str) -> Change:
    """The change from log differences, each of an old and a new process that ran side by side."""
    n = len(differences)
    error = float(np.std(differences, ddof=1)) / n**0.5
    return _change(float(np.mean(differences)), error, n - 1, PAIRS_BAND[threads])


def judged(changes: Sequence[Change]) -> list[tuple[Verdict, str]]:
    """(verdict, reason) of each change, when all claims are made at once."""
    adjusted = statistics.adjusted([change.p_value for change in changes])
    return [_judge(change, p) for change, p in zip(changes, adjusted, strict=True)]


def _judge(change: Change, p: float) -> tuple[Verdict, str]:
    if p > LEVEL:
        return Verdict.UNDECIDED, f"too near the edge of the {change.band:.0%} band"
    if abs(log(change.ratio)) <= change.band:
        return Verdict.SAME, ""
    return (Verdict.FASTER if change.ratio > 1 else Verdict.SLOWER), ""


def _change(mean: float, error: float, df: float, band: float) -> Change:
    half_width = error * float(stats.t.ppf((1 + CONFIDENCE) / 2, df))
    margin = abs(abs(mean) - band)
    p = 2 * float(stats.t.sf(margin / error, df)) if error else float(margin == 0)
    return Change(exp(mean), exp(mean - half_width), exp(mean + half_width), band, p)


def _mean(logs: Sequence[ndarray]) -> tuple[float, float, float]:
    """(Mean of the processes' medians, its standard error, degrees of freedom)."""
    medians = [float(np.median(rounds)) for rounds in logs]
    if len(medians) > 1:
        return float(np.mean(medians)), float(stats.sem(medians)), len(medians) - 1
    (rounds,) = logs
    # Of a median of normal values; between the rounds of one process nothing else is known.
    error = (np.pi / 2) ** 0.5 * float(stats.sem(rounds))
    return medians[0], error, len(rounds) - 1
