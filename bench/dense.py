"""The section of a report on dense convolutions: beside PyTorch, and beside the machine's peak."""

from typing import Any

import pandas as pd

from bench import ratios
from bench.machine import CEILINGS
from bench.workloads import find

ALIKE = ["backend", "threads", "batch", "op", "direction"]
NETWORKS = [*ALIKE, "network"]
# A mean of fewer rows says little of a network.
LEAST = 3


def tables(timed: pd.DataFrame, facts: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """The tables of a page by name; those without a line are left out. facts: of the machine."""
    rated = shares(timed, facts)
    believed = ratios.believable(rated)
    whole, part = (believed.groupby(keys)["ratio"].transform("size") for keys in (ALIKE, NETWORKS))
    made = {
        "summary": _means(believed, ALIKE),
        "networks": _means(believed[(part >= LEAST) & (part < whole)], NETWORKS),
        "layers": _layers(rated),
    }
    return {name: table for name, table in made.items() if len(table)}


def shares(timed: pd.DataFrame, facts: dict[str, Any]) -> pd.DataFrame:
    """Rated rows of dense layers, with the share of the peak: the backend's, and PyTorch's.

    Of the peak beside the row; in older runs of the one before all rows, if there is one of so many
    threads.
    """
    rated = timed.dropna(subset="ratio")
    rated = rated[rated["workload"].isin([w for w in rated["workload"].unique() if _is_dense(w)])]
    peaks = {threads: facts[n]["gflops_per_s"] for threads, n in CEILINGS.items() if n in facts}
    peak = rated["peak_gflops_per_s"].astype(float).fillna(rated["threads"].map(peaks))
    share = rated["gflops_per_s"] / peak
    torch_share = share * rated["time_median_s"] / rated["torch_median_s"]
    return rated.assign(share=share, torch_share=torch_share)


def _is_dense(workload: str) -> bool:
    try:
        return find(workload).is_dense
    except ValueError:  # of a stored run whose workload has another name today
        return False


def _means(believed: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """A line per group of rows: geometric means, and the layer with the smallest ratio."""
    lines = []
    for key, mine in believed.groupby(keys, sort=False):
        slowest = mine.nsmallest(1, "ratio").iloc[0]
        line = {
            **dict(zip(keys, key, strict=True)),
            "rows": len(mine),
            "ratio": f"{ratios.geometric_mean(mine['ratio']):.3g}x",
            "slowest layer": f"{slowest['workload']} {slowest['ratio']:.3g}x",
            "share of peak": _percent(ratios.geometric_mean(mine["share"])),
            "PyTorch's share": _percent(ratios.geometric_mean(mine["torch_share"])),
        }
        lines.append(line)
    return pd.DataFrame(lines)


def _layers(rated: pd.DataFrame) -> pd.DataFrame:
    """A line per row and backend; the backends of a row stand together."""
    keys = ["workload", "direction", "threads"]
    order = rated.groupby(keys, sort=False).ngroup().sort_values(kind="stable").index
    rated = rated.loc[order]
    table = rated[[*keys, "backend"]].assign(ratio=ratios.cells(rated))
    table["GFLOP/s"] = rated["gflops_per_s"].map("{:.4g}".format)
    table["share of peak"] = rated["share"].map(_percent)
    table["PyTorch's share"] = rated["torch_share"].map(_percent)
    return table


def _percent(share: float) -> str:
    return "" if pd.isna(share) else f"{100 * share:.3g} %"
