"""The trainings of a run folder -> their section of the report: sentences, tables, curves."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from bench.plots import MARKERS, STYLE, saved
from bench.training.record import ACCURACY, FIRST_STEPS, PYTORCH, Training, Trainings, distances
from conformance.tolerance import LOSS_RTOL

# A curve shows the mean of so many losses: one batch tells little.
AVERAGED = 20
# Where the plot shows a distance of zero, for which its axis has no place.
NEAREST = 1e-17


def words(session: Trainings | None) -> dict[str, Any] | None:
    """What the section says; None without trainings."""
    if session is None:
        return None
    return {
        "told": [(not session.fault(name), session.told(name)) for name in session.backends()],
        "table": _table(session),
        "first_steps": FIRST_STEPS,
        "rtol": LOSS_RTOL,
        "accuracy": ACCURACY,
    }


def curves(session: Trainings, path: Path) -> Path:
    """Left, the losses in float32; right, how far the first are from PyTorch's, in both dtypes."""
    with mpl.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
        whole = [session.of(name, "float32") for name in (PYTORCH, *session.backends())]
        for training, width in zip(whole, (4, *[1.2] * len(whole)), strict=False):
            color = "0.75" if training.learner == PYTORCH else None
            left.plot(*_averaged(training), lw=width, color=color, label=training.learner)
        left.set_yscale("log")
        left.set_xlabel("step")
        left.set_ylabel(f"loss, float32, mean of {AVERAGED} steps")
        left.legend(frameon=False)
        for dtype, is_filled in (("float32", False), ("float64", True)):
            expected = session.of(PYTORCH, dtype).losses
            for marker, name in zip(MARKERS, session.backends(), strict=False):
                far = distances(session.of(name, dtype).losses[:FIRST_STEPS], expected)
                fill = "full" if is_filled else "none"
                right.plot(
                    np.maximum(far, NEAREST), marker, ms=4, fillstyle=fill, label=f"{name}, {dtype}"
                )
        right.axhline(LOSS_RTOL, color="0.3", lw=1, ls="--", label="limit in float64")
        right.set_yscale("log")
        right.xaxis.set_major_locator(MaxNLocator(integer=True))
        right.set_xlabel("step")
        right.set_ylabel(f"distance to PyTorch's loss, relative; 0 at {NEAREST:g}")
        right.legend(frameon=False)
        for axes in (left, right):
            axes.grid(color="0.92")
        return saved(figure, path)


def _averaged(training: Training) -> tuple[np.ndarray, np.ndarray]:
    """Steps and mean losses."""
    width = min(AVERAGED, max(1, len(training.losses)))
    means = np.convolve(training.losses or [np.nan], np.full(width, 1 / width), "valid")
    return np.arange(len(means)) + width / 2, means


def _table(session: Trainings) -> pd.DataFrame:
    """A line per training."""
    return pd.DataFrame(
        [
            {
                "learner": training.learner,
                "dtype": training.dtype,
                "steps": len(training.losses),
                "loss at first": _loss(training.losses[:1]),
                "at last": _loss(training.losses[-AVERAGED:]),
                "told right": f"{training.accuracy:.1%}" if training.confusion else "",
                "a step": f"{1e3 * training.step_median_s:.3g} ms",
                "took for another": _mistakes(training.confusion),
            }
            for training in session.trainings
        ]
    )


def _loss(losses: list[float]) -> str:
    return f"{np.mean(losses):.6f}" if losses else ""


def _mistakes(confusion: list[list[int]]) -> str:
    """Which digits were taken for which, how often: "8 for 1 (3), 9 for 7"."""
    wrong = [
        (-count, f"{digit} for {told}" + (f" ({count})" if count > 1 else ""))
        for digit, counts in enumerate(confusion)
        for told, count in enumerate(counts)
        if count and told != digit
    ]
    return ", ".join(said for _, said in sorted(wrong))
