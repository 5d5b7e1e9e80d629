"""What the machine is, and its measured ceilings: a number means nothing without them."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import cpuinfo
import numpy as np
import psutil

from bench import fma
from bench.timing import seconds_of
from conformance.versions import version

ROOT = Path(__file__).parent.parent
PACKAGES = ("numpy", "numba", "llvmlite", "torch", "pandas", "pytest-benchmark")
# In a run's facts: the ceilings of one thread and, if it has such rows, of all cores.
CEILINGS = {"one": "ceilings_before", "all": "ceilings_all_cores"}
# Three arrays far beyond a core's caches.
STREAM_BYTES = 64 * 2**20
REPEATS = 7
# Of the memory that is free when a worker starts; the rest is for the machine and the parent.
MEMORY_SHARE = 0.8


def facts() -> dict[str, Any]:
    """Processor, memory, system, versions and state of the sources; nothing that names a person."""
    processor = cpuinfo.get_cpu_info()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": processor.get("brand_raw", platform.processor()),
        "vector_flags": [
            flag
            for flag in ("avx2", "fma", "avx512f", "asimd")
            if flag in processor.get("flags", ())
        ],
        "cores": cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "revision": _revision(),
        "load_average": psutil.getloadavg()[0],
    }


def environment(threads: int, root: Path = ROOT) -> dict[str, str]:
    """What must be set before NumPy is imported. OMP_WAIT_POLICY stays: passive costs 2x."""
    count = str(threads)
    pools = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    # The caller's folder too: a backend may be a module there.
    path = os.pathsep.join(filter(None, [str(root), os.getcwd(), os.environ.get("PYTHONPATH")]))
    return {
        **os.environ,
        **dict.fromkeys(pools, count),
        # OpenBLAS's idle worker would spin for 100 ms and slow PyTorch 4 to 17 times.
        "OPENBLAS_THREAD_TIMEOUT": "4",
        "PYTHONPATH": path,
    }


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_memory() -> None:
    """From now on this process gets a MemoryError before the machine runs out of memory.

    Only Linux counts all private memory against this limit; elsewhere nothing is limited.
    """
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = int(MEMORY_SHARE * psutil.virtual_memory().available)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def ceilings(threads: int) -> dict[str, float]:
    """The machine's peaks, in a process of its own: float32 GFLOP/s and GB/s."""
    probe = subprocess.run(
        [sys.executable, "-m", "bench.machine"],
        env=environment(threads), cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(probe.stdout)
    return found


def peak(threads: int) -> float:
    """float32 GFLOP/s that so many threads of this process reach."""
    fma.fused(1)  # compiles
    with ThreadPool(threads) as pool:
        fastest_s = _best(lambda: pool.map(fma.fused, [fma.STEPS] * threads))
    return threads * fma.flops_of(fma.STEPS) / fastest_s / 1e9


def _probe() -> dict[str, float]:
    """The ceilings of this process."""
    threads = int(os.environ["OMP_NUM_THREADS"])
    x, y, z = (np.ones(STREAM_BYTES // 4, np.float32) for _ in range(3))
    parts = list(zip(*(np.array_split(array, threads) for array in (x, y, z)), strict=True))
    with ThreadPool(threads) as pool:
        # z = x + y: two reads and a write; the write's own read of its line is not counted.
        stream_s = _best(lambda: pool.starmap(np.add, parts))
    return {
        "gflops_per_s": peak(threads),
        "gbytes_per_s": 3 * STREAM_BYTES / stream_s / 1e9,
    }


def _best(call: Callable[[], object]) -> float:
    return min(seconds_of(call) for _ in range(REPEATS))


def _revision() -> str:
    """Short commit of the sources, "+" if they were changed; "" outside a repository."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        return commit + ("+" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    result = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


if __name__ == "__main__":
    print(json.dumps(_probe()))
