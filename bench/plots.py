"""The plots of a report, each a function of a table: SVG, readable without color, undated."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bench.statistics import BAND
from conformance.tolerance import GRADE_LIMIT
from impls.spec.cost import flops

MARKERS = "osD^vP*X"
STYLE: Any = {
    "svg.fonttype": "path",  # the page must look alike where a font is missing
    "svg.hashsalt": "convformance",  # the same plot is the same file
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def ratios(rated: pd.DataFrame, path: Path) -> Path:
    """Forest plot: the ratio of each row with its interval, PyTorch at 1."""
    rows = list(
        dict.fromkeys(zip(rated["workload"], rated["direction"], rated["threads"], strict=True))
    )
    places = {row: -i for i, row in enumerate(rows)}
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(9, 1.2 + 0.3 * len(rows)))
        edge = float(np.exp(BAND["one"]))
        axes.axvspan(1 / edge, edge, color="0.85", lw=0)
        axes.axvline(1, color="0.4", lw=1)
        for marker, (backend, mine) in zip(MARKERS, rated.groupby("backend"), strict=False):
            y = [
                places[key]
                for key in zip(mine["workload"], mine["direction"], mine["threads"], strict=True)
            ]
            middle = mine["ratio"].astype(float)
            spread = [middle - mine["ratio_low"], mine["ratio_high"] - middle]
            axes.errorbar(
                middle, y, xerr=np.maximum(spread, 0), fmt=marker, ms=5, lw=1.2, label=backend
            )
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.4g}x"))
        both = rated["threads"].nunique() > 1
        names = [f"{w}  {d}  {t}" if both else f"{w}  {d}" for w, d, t in rows]
        axes.set_yticks([places[row] for row in rows], names)
        # Of 258 rows, the usual margin of a share of the axis was as high as a screen.
        axes.set_ylim(-len(rows) + 0.3, 0.7)
        axes.set_xlabel(
            "speed beside PyTorch (1x, gray: the band of SAME); bars are 95 % intervals"
        )
        axes.grid(axis="x", color="0.92")
        axes.legend(loc="best", frameon=False)
        return saved(figure, path)


def roofline(rated: pd.DataFrame, ceilings: dict[str, float], path: Path) -> Path:
    """GFLOP/s over arithmetic intensity, under the machine's measured ceilings."""
    work = rated["macs"].map(flops)
    intensity = work / rated["bytes_min"]
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(9, 4.2))
        x = np.geomspace(float(intensity.min()) / 2, float(intensity.max()) * 2, 200)
        roof = np.minimum(ceilings["gflops_per_s"], x * ceilings["gbytes_per_s"])
        axes.plot(x, roof, color="0.3", lw=1.5, label="measured ceiling")
        torch = work / rated["torch_median_s"] / 1e9
        axes.plot(intensity, torch, "k+", ms=7, label="PyTorch")
        for marker, (backend, mine) in zip(MARKERS, rated.groupby("backend"), strict=False):
            axes.plot(
                intensity[mine.index], mine["gflops_per_s"], marker, ms=5, alpha=0.8, label=backend
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.4g}"))
        axes.set_xlabel("nominal floating-point operations per byte that must move")
        axes.set_ylabel("GFLOP/s")
        axes.grid(color="0.92")
        axes.legend(loc="lower right", frameon=False)
        return saved(figure, path)


def grades(judged: pd.DataFrame, path: Path) -> Path:
    """Worst rounding error of each backend and op, in units of sqrt(n) * u * S."""
    worst = judged.groupby(["backend", "op"])["worst_grade"].max().dropna().reset_index()
    ops = sorted(worst["op"].unique())
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(9, 3.2))
        groups = list(worst.groupby("backend"))
        for i, (marker, (backend, mine)) in enumerate(zip(MARKERS, groups, strict=False)):
            shift = 0.12 * (i - (len(groups) - 1) / 2)
            x = [ops.index(op) + shift for op in mine["op"]]
            axes.plot(x, mine["worst_grade"], marker, ms=6, label=backend)
        axes.axhline(GRADE_LIMIT, color="0.3", lw=1, ls="--")
        axes.text(len(ops) - 0.5, GRADE_LIMIT, " limit", va="center", ha="left", color="0.3")
        axes.set_xticks(range(len(ops)), ops)
        axes.set_ylim(0, GRADE_LIMIT * 1.1)
        axes.set_ylabel("worst grade")
        axes.grid(axis="y", color="0.92")
        axes.legend(loc="upper left", frameon=False, ncols=4)
        return saved(figure, path)


def saved(figure: Figure, path: Path) -> Path:
    """The path of the figure's file; the figure is closed."""
    figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return path
