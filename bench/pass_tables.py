"""passes.csv -> the tables and plots of a page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from bench.plots import MARKERS, STYLE, saved

ROW = ["workload", "direction"]
# Sizes of which the exponent is fitted: the largest, where the call itself costs little.
FITTED = 4


def tables(found: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of a page by name; those without a figure are left out."""
    made = {
        "first_call": first_call(found),
        "memory": memory(found),
        "cold_cache": cold_cache(found),
        "threads": threads(found),
        "growth": growth(found),
        "absent": absent(found),
    }
    return {name: table for name, table in made.items() if len(table)}


def first_call(found: pd.DataFrame) -> pd.DataFrame:
    """Seconds of the first call, of the first call with compiled code cached, and of later ones."""
    columns = {"first_call_s": "first", "cached_call_s": "cached", "seconds": "later"}
    return _wide(found, "first_call", columns)


def memory(found: pd.DataFrame) -> pd.DataFrame:
    """What a call allocates at its peak, as a multiple of its operands and result."""
    table = _wide(found, "memory", {"peak_bytes": "peak", "operand_bytes": "operands"})
    if len(table):
        table["peak / operands"] = table["peak"] / table["operands"]
        methods = found[found["pass"] == "memory"].groupby("backend")["method"].max()
        table["method"] = table["backend"].map(methods)
    return table


def cold_cache(found: pd.DataFrame) -> pd.DataFrame:
    """Seconds of a call whose operands lie in the caches, and of one whose do not."""
    table = _wide(found, "cold_cache", {"warm_s": "warm", "cold_s": "cold"})
    if len(table):
        table["cold / warm"] = table["cold"] / table["warm"]
    return table


def threads(found: pd.DataFrame) -> pd.DataFrame:
    """How many times faster than on one thread."""
    mine = _figures(found, "threads")
    if mine.empty:
        return mine
    best = mine.groupby(["backend", *ROW, "threads"], sort=False)["value"].min()
    table = best.unstack("threads")
    if 1 not in table:
        return table[:0]
    speedups = table.rdiv(table[1], axis=0).drop(columns=1).add_suffix(" threads")
    return speedups[table[1].notna()].reset_index().rename_axis(columns=None)


def growth(found: pd.DataFrame) -> pd.DataFrame:
    """Exponents: by what power of an image's side, of channels, ... the cost grows."""
    lines = []
    for (backend, axis), mine in _points(found):
        if len(mine) >= FITTED:
            largest = mine.tail(FITTED)
            exponent, _ = np.polyfit(np.log(largest.index), np.log(largest.to_numpy()), 1)
            sizes = f"{largest.index[0]:g} to {largest.index[-1]:g}"
            lines.append({"backend": backend, "size": axis, "from": sizes, "exponent": exponent})
    return pd.DataFrame(lines)


def absent(found: pd.DataFrame) -> pd.DataFrame:
    """What could not be measured, and why."""
    return found[found["reason"] != ""][["pass", "backend", *ROW, "reason"]].drop_duplicates()


def plot_growth(found: pd.DataFrame, path: Path) -> Path:
    """Seconds over each size, log-log, with the fitted lines."""
    points = list(_points(found))
    axes_names = list(dict.fromkeys(axis for (_, axis), _ in points))
    backends = list(dict.fromkeys(backend for (backend, _), _ in points))
    exponents = growth(found)
    with matplotlib.rc_context(STYLE):
        figure, grid = plt.subplots(
            1, len(axes_names), figsize=(11, 3.4), sharey=True, squeeze=False
        )
        for axes, name in zip(grid[0], axes_names, strict=True):
            for (backend, axis), mine in points:
                if axis != name:
                    continue
                number = backends.index(backend)
                marker = MARKERS[number % len(MARKERS)]
                fitted = exponents[(exponents["backend"] == backend) & (exponents["size"] == axis)]
                power = f" ^{fitted['exponent'].iloc[0]:.2f}" if len(fitted) else ""
                axes.plot(mine.index, mine, marker, color=f"C{number}", ms=5, label=backend + power)
                if len(fitted):
                    _line(axes, mine.tail(FITTED), f"C{number}")
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.xaxis.set_major_formatter(lambda x, _: f"{x:.0f}")
            axes.set_xlabel(name)
            axes.grid(color="0.92")
            axes.legend(frameon=False, fontsize=7)
        grid[0][0].set_ylabel("seconds of a call")
        return saved(figure, path)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table as a reader wants it: seconds, bytes and multiples with three digits."""
    made = table.astype(object)
    for name in table.columns:
        if pd.api.types.is_float_dtype(table[name]):
            unit = _UNITS.get(str(name), "")
            made[name] = [_number(value, unit) for value in table[name]]
    return made


_UNITS = {
    **dict.fromkeys(("first", "cached", "later", "warm", "cold"), "s"),
    **dict.fromkeys(("peak", "operands"), "B"),
    "exponent": "power",
}


def _number(value: float, unit: str) -> str:
    if pd.isna(value):
        return ""
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms"
    if unit == "B":
        return f"{value / 2**20:.3g} MiB"
    return f"{value:.2f}" if unit == "power" else f"{value:.3g}x"


def _line(axes: Any, mine: "pd.Series[float]", color: str) -> None:
    exponent, constant = np.polyfit(np.log(mine.index), np.log(mine.to_numpy()), 1)
    axes.plot(mine.index, np.exp(constant) * mine.index**exponent, color=color, lw=1)


def _points(found: pd.DataFrame) -> Iterator[tuple[tuple[str, str], "pd.Series[float]"]]:
    """((backend, axis), best seconds by size) of the growth pass."""
    mine = _figures(found, "growth")
    for (backend, axis), points in mine.groupby(["backend", "axis"], sort=False):
        yield (str(backend), str(axis)), points.groupby("size")["value"].min().sort_index()


def _wide(found: pd.DataFrame, name: str, columns: dict[str, str]) -> pd.DataFrame:
    """Medians of a pass, a line per backend and row, a column per measure."""
    mine = _figures(found, name)
    if mine.empty:
        return mine
    medians = mine.groupby(["backend", *ROW, "measure"], sort=False)["value"].median()
    table = medians.unstack("measure").reindex(columns=list(columns)).rename(columns=columns)
    return table.reset_index().rename_axis(columns=None)


def _figures(found: pd.DataFrame, name: str) -> pd.DataFrame:
    return found[(found["pass"] == name) & found["value"].notna()]
