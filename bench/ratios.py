"""Ratios as reports show them: which are believed, their mean, and how one is written."""

import numpy as np
import pandas as pd

from bench.statistics import Verdict

MARK = {"FASTER": "▲", "SLOWER": "▼", "SAME": "≈", "UNDECIDED": "?", "INVALID": "!"}


def believable(timed: pd.DataFrame) -> pd.DataFrame:
    """Rows with a ratio that may be believed."""
    return timed[timed["ratio"].notna() & (timed["verdict"] != Verdict.INVALID)]


def geometric_mean(values: "pd.Series[float]") -> float:
    """The mean of ratios: of a ratio and its inverse it is 1."""
    return float(np.exp(np.log(values.astype(float)).mean()))


def cells(rated: pd.DataFrame) -> list[str]:
    """Ratio, verdict and interval of every row that has a ratio: "1.32x ▲ [1.3, 1.35]"."""
    columns = ("ratio", "verdict", "ratio_low", "ratio_high", "flags")
    return [
        f"{ratio:.3g}x {MARK[verdict]} [{low:.3g}, {high:.3g}]{' ⚑' if flags else ''}"
        for ratio, verdict, low, high, flags in zip(*(rated[c] for c in columns), strict=True)
    ]
