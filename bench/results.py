"""From samples to the rows of a run: the same, to the last digit, just measured or read back.

`measured` fills in what a row's samples tell; `corrected` minds that a run makes many claims.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import expm1, log
from typing import Any

import numpy as np
import pandas as pd
from numpy import ndarray

from bench import statistics
from bench.row import KEY, Row
from bench.statistics import Ratio, Verdict
from bench.stored import RunError
from bench.worker import BACKEND, TORCH, TWIN
from bench.workloads.presets import ONE_THREAD
from impls.spec.cost import flops

# A sample is dirty when it was kept from a core for more than this share of its time.
DIRTY_SHARE = 0.02


def measured(row: Row, samples: pd.DataFrame) -> Row:
    """The row with the columns that come from its samples; its verdict is not yet corrected."""
    frame = samples.sort_values(["process", "round", "position"])
    frame["before"] = frame.groupby("process")["arm"].shift(fill_value="")
    frame["seconds"] = seconds(frame, row.threads)
    times = frame.pivot(index=["process", "round"], columns="arm", values="seconds")
    logs, twin_logs = (_logs(times[TORCH], times[arm]) for arm in (BACKEND, TWIN))
    found, twin = statistics.ratio(logs), statistics.ratio(twin_logs)
    p = statistics.p_value(logs, twin, row.threads)
    median = float(times[BACKEND].median())
    columns = {
        "ratio": found.median,
        "ratio_low": found.low,
        "ratio_high": found.high,
        "p_value": p,
        "twin_ratio": twin.median,
        "time_median_s": median,
        "time_min_s": float(times[BACKEND].min()),
        "torch_median_s": float(times[TORCH].median()),
        "gflops_per_s": flops(row.macs) / median / 1e9,
        "processes": len(logs),
        "rounds": len(times),
        "dirty_share": _dirty_share(frame, row.threads),
        "cores_used": _cores_used(frame, BACKEND),
        **_flags(frame, logs, row.threads),
    }
    reason = _invalid(columns, twin, _cores_used(frame, TORCH), row.threads)
    if reason:
        return replace(row, **columns, verdict=Verdict.INVALID, reason=reason)
    verdict, reason = statistics.judge(found.median, p, row.threads)
    return replace(row, **columns, verdict=verdict, reason=reason)


def corrected(rows: Sequence[Row]) -> list[Row]:
    """All rows of a run, with the verdicts that stand when all claims are made at once."""
    valid = [row for row in rows if row.p_value is not None and row.verdict != Verdict.INVALID]
    p_values = statistics.adjusted([row.p_value for row in valid if row.p_value is not None])
    by_row = dict(zip(map(id, valid), p_values, strict=True))
    return [_corrected(row, by_row[id(row)]) if id(row) in by_row else row for row in rows]


def recomputed(rows: Sequence[Row], samples: pd.DataFrame) -> list[Row]:
    """All rows of a run from its stored samples; RunError for a row that has lost them."""
    groups = dict(list(samples.groupby(list(KEY)))) if len(samples) else {}
    found = []
    for row in rows:
        name = tuple(getattr(row, column) for column in KEY)
        if row.ratio is not None and name not in groups:
            raise RunError(f"samples.csv must hold the samples of {' '.join(name)}, but has none")
        found.append(measured(row, groups[name]) if name in groups else row)
    return corrected(found)


def seconds(frame: pd.DataFrame, threads: str) -> "pd.Series[float]":
    """Seconds per call of every sample.

    On one thread, of processor time: measured on a virtual machine that others kept busy, im2col
    differed from itself by 3 % with it, and by 30 % by the clock on the wall, from which the kernel
    can take the wait for a core, but not what the host took.
    """
    spent = frame["cpu_ns"] if threads == ONE_THREAD else frame["wall_ns"]
    return spent / frame["calls"] / 1e9


def _corrected(row: Row, p: float) -> Row:
    assert row.ratio is not None
    verdict, reason = statistics.judge(row.ratio, p, row.threads)
    if verdict == Verdict.UNDECIDED != row.verdict:
        reason = f"{row.verdict} alone, but not sure enough among all claims of the run"
    return replace(row, p_adjusted=p, verdict=verdict, reason=reason)


def _logs(reference: "pd.Series[float]", arm: "pd.Series[float]") -> list[ndarray]:
    """Log ratios by round, an array per process."""
    ratios = (reference / arm).groupby(level="process")
    return [np.log(group.to_numpy()) for _, group in ratios]


def _dirty_share(frame: pd.DataFrame, threads: str) -> float:
    """Share of samples that were kept from a core; on all cores as far as the kernel tells."""
    kept = frame["delay_ns"] if threads != ONE_THREAD else frame["wall_ns"] - frame["cpu_ns"]
    return float((kept > DIRTY_SHARE * frame["wall_ns"]).mean())


def _cores_used(frame: pd.DataFrame, arm: str) -> float:
    chosen = frame[frame["arm"] == arm]
    return float((chosen["cpu_ns"] / chosen["wall_ns"]).median())


def _flags(frame: pd.DataFrame, logs: list[ndarray], threads: str) -> dict[str, Any]:
    """Drift, carry-over and two modes, and which of them are more than chance and than the band."""
    befores = (frame[frame["arm"] == arm].groupby("process")["before"] for arm in (BACKEND, TORCH))
    carried = [
        statistics.carry_over(logs, [group.to_numpy() for _, group in before]) for before in befores
    ]
    found = {
        "drift": statistics.drift(logs),
        "carry_over": max(carried, key=lambda shift: (shift[1], shift[0])),
        "modes": statistics.modes(logs),
    }
    band = statistics.BAND[threads]
    flagged = [name for name, (shift, sure) in found.items() if sure and abs(shift) > band]
    return {**{name: shift for name, (shift, _) in found.items()}, "flags": " ".join(flagged)}


def _invalid(columns: dict[str, Any], twin: Ratio, torch_cores: float, threads: str) -> str:
    """Why nothing can be said, or ""."""
    cores = columns["cores_used"]
    off = abs(log(twin.median))
    if (
        statistics.bias(twin)
        and off > statistics.TWIN_LIMIT
        and statistics.may_decide(off, columns["ratio"], threads)
    ):
        return f"PyTorch differs from itself by {abs(twin.median - 1):.0%}"
    if columns["dirty_share"] > statistics.DIRTY_LIMIT[threads]:
        return f"{columns['dirty_share']:.0%} of the samples were kept from a core"
    carried = columns["carry_over"]
    if (
        "carry_over" in columns["flags"]
        and carried > statistics.CARRY_OVER_LIMIT
        and statistics.may_decide(carried, columns["ratio"], threads)
    ):
        return f"the arm before changes the ratio by {expm1(carried):.0%}"
    if threads == ONE_THREAD and cores > statistics.CORES_LIMIT:
        return f"it used {cores:.1f} cores, but should use one thread"
    if threads == ONE_THREAD and cores < statistics.PRESENCE_LIMIT * torch_cores:
        return f"only {cores:.0%} of its time passed on the processor: it waits for something else"
    return ""
