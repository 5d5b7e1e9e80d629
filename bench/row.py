"""Row: the columns of performance.csv, units in their names. reports/README.md explains each."""

from dataclasses import dataclass

# What tells a row from all others of its run.
KEY = ("backend", "workload", "direction", "threads")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One backend, workload and direction beside PyTorch. None where there is no time."""

    backend: str
    network: str
    workload: str
    op: str
    direction: str
    dtype: str
    batch: int
    threads: str
    seed: int
    times: int
    macs: int
    bytes_min: int
    verdict: str
    reason: str
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    twin_ratio: float | None = None
    time_median_s: float | None = None
    time_min_s: float | None = None
    torch_median_s: float | None = None
    gflops_per_s: float | None = None
    peak_gflops_per_s: float | None = None
    processes: int | None = None
    rounds: int | None = None
    dirty_share: float | None = None
    cores_used: float | None = None
    drift: float | None = None
    carry_over: float | None = None
    modes: float | None = None
    flags: str = ""
    grade: float | None = None
    repeat: str
