"""The section of a report on how backends sum: what conformance/passport.py measured."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

from bench.plots import MARKERS, STYLE, saved
from bench.stored import RunError
from conformance.passport import DTYPES, LADDER_FILE, PASSPORT_FILE, Passport, Rung

PANELS_A_ROW = 4


def load(directory: Path) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """The passports and their ladders; None if there are none."""
    if not (directory / PASSPORT_FILE).exists():
        return None
    return _read(directory / PASSPORT_FILE, Passport), _read(directory / LADDER_FILE, Rung)


def _read(path: Path, kind: type[Any]) -> pd.DataFrame:
    try:
        # What has no products says nothing of them.
        table = pd.read_csv(path, keep_default_na=False)
        return table[list(kind.__slots__)]
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"{path} must be what `python -m conformance.passport` wrote: {error}"
        ) from error


def tables(passports: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By dtype, a line per sum and a column per backend: exponent, worst grade and what is held."""
    found = {}
    for dtype in DTYPES:
        mine = passports[passports["dtype"] == dtype]
        cells = mine.assign(cell=[_cell(line) for line in mine.to_dict("records")])
        table = cells.pivot_table(
            index=["op", "direction"], columns="backend", values="cell", aggfunc="first", sort=False
        )
        found[dtype] = table.fillna("").reset_index().rename_axis(columns=None)
    return found


def _cell(line: dict[Any, Any]) -> str:
    held = ", ".join(word for word in (line["accumulator"], line["products"]) if word)
    return f"n^{line['exponent']:z.2f}, {line['worst_grade']:.2f}, {held}"


def curves(ladder: pd.DataFrame, path: Path) -> Path:
    """A panel per sum: grades over the number of terms, from the median to the largest."""
    sums = list(ladder.groupby(["op", "direction"], sort=False))
    backends = list(dict.fromkeys(ladder["backend"]))
    rows = -(-len(sums) // PANELS_A_ROW)
    with mpl.rc_context(STYLE):
        figure, panels = plt.subplots(
            rows, PANELS_A_ROW, figsize=(10, 0.8 + 2 * rows), sharex=True, sharey=True,
            squeeze=False,
        )  # fmt: skip
        for axes in panels.flat[len(sums) :]:
            axes.set_axis_off()
        for axes, ((op, direction), here) in zip(panels.flat, sums, strict=False):
            for number, (backend, marker) in enumerate(zip(backends, MARKERS, strict=False)):
                mine = here[(here["backend"] == backend) & (here["dtype"] == DTYPES[0])]
                x = mine["terms"]
                axes.plot(
                    x, mine["grade_median"], f"{marker}-", color=f"C{number}", ms=3, lw=1,
                    label=backend,
                )  # fmt: skip
                axes.fill_between(
                    x, mine["grade_median"], mine["grade_max"], color=f"C{number}", alpha=0.15, lw=0
                )
            axes.set_title(f"{op} {direction}", fontsize=8)
            axes.set_xscale("log", base=4)
            axes.set_yscale("log")
            axes.grid(color="0.92")
        panels[0, 0].legend(loc="lower left", frameon=False, fontsize=7)
        figure.supxlabel("terms of a sum (float32, positive values)", fontsize=9)
        figure.supylabel("grade: median, shaded to the largest", fontsize=9)
        return saved(figure, path)
