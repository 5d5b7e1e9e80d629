"""One process of a side pass: what a backend costs beside its time in a duel.

    python -m bench.pass_worker BACKEND PASS THREADS

Started by passes.py with its environment set; prints records, one JSON object a line. Nothing here
is paired with PyTorch: these are figures of one machine, not ratios to be compared.
"""

import json
import math
import os
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cpuinfo
import numpy as np
import torch

import impls
from bench.calls import Problem, backend_call, problem, torch_call
from bench.machine import limit_memory
from bench.timing import seconds_of
from bench.worker import SHRINK
from bench.workloads import find
from bench.workloads.layers import conv
from bench.workloads.presets import Task
from bench.workloads.workload import Workload, batched, shrunk
from impls.backend import Backend
from impls.spec.op import FORWARD

PYTORCH = "PyTorch"
# A layer that every network has, its weight gradient, a pool, and the layer without channels.
ROWS = (
    Task("resnet50:res2.3x3*3", FORWARD),
    Task("resnet50:res2.3x3*3", "grad_weight"),
    Task("resnet50:maxpool", FORWARD),
    Task("mobilenetv2:block8.depthwise*4", FORWARD),
)
# The same conv2d with one size varied: image, channels in and out, kernel, images per call.
BASE = {"image": 28, "channels": 32, "kernel": 3, "batch": 1}
AXES = {
    "image": (14, 28, 56, 112, 224),
    "channels": (8, 16, 32, 64, 128),
    "kernel": (1, 3, 5, 7, 9),
    "batch": (1, 2, 4, 8, 16),
}
# Where a call takes longer the shrunk twin stands in, and a varied size grows no further.
CALL_CAP_S = 0.5
REPEATS = 5
COLD_ROUNDS = 11
# A sample is at least so long.
SAMPLE_S = 0.002
SWEEP_LIMIT = 96 * 2**20

Record = dict[str, Any]
Call = Callable[[], object]


def main(spec: str, name: str) -> None:
    """Print the records of one pass."""
    limit_memory()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    backend = None if spec == PYTORCH else impls.get(spec)
    for record in PASSES[name](backend):
        print(json.dumps(record), flush=True)


def first_call(backend: Backend | None) -> Iterator[Record]:
    """The first call of each row in this process, and the calls after it."""
    for task in ROWS:
        workload = shrunk(find(task.workload), SHRINK)
        yield from _of(backend, workload, task.direction, _first)


def memory(backend: Backend | None) -> Iterator[Record]:
    """Peak of what a call allocates."""
    yield from _rows(backend, _peak)


def cold_cache(backend: Backend | None) -> Iterator[Record]:
    """A call that finds its operands in the caches, and one that does not."""
    level3 = cpuinfo.get_cpu_info().get("l3_cache_size")
    size = min(2 * level3 if isinstance(level3, int) else SWEEP_LIMIT, SWEEP_LIMIT)
    swept = np.zeros(size // 8)
    method = f"a sweep of {size >> 20} MiB before each call"

    def look(call: Call, given: Problem) -> Iterator[Record]:
        call()
        for sample in range(COLD_ROUNDS):
            call()
            yield {"measure": "warm_s", "sample": sample, "value": seconds_of(call)}
            swept.__iadd__(1.0)
            yield {
                "measure": "cold_s", "sample": sample, "value": seconds_of(call), "method": method
            }  # fmt: skip

    yield from _rows(backend, look)


def threads(backend: Backend | None) -> Iterator[Record]:
    """Seconds of a call on as many threads as the environment says."""
    yield from _rows(backend, _timed)


def growth(backend: Backend | None) -> Iterator[Record]:
    """Seconds of a call as one size grows, until it takes too long."""
    for axis, sizes in AXES.items():
        for size in sizes:
            workload = grown(axis, size)
            records = list(_of(backend, workload, FORWARD, _timed))
            yield from ({**record, "axis": axis, "size": size} for record in records)
            values = [record["value"] for record in records if record["value"] is not None]
            if not values or min(values) > CALL_CAP_S:
                break


def grown(axis: str, size: int) -> Workload:
    """The conv2d of the growth pass with one of its sizes replaced."""
    sizes = {**BASE, axis: size}
    image, channels, kernel = sizes["image"], sizes["channels"], sizes["kernel"]
    layer = conv(axis, (channels, image, image), channels, kernel, padding=kernel // 2)
    return replace(batched(layer, sizes["batch"]), network="growth", layer=f"{axis}={size}")


PASSES: dict[str, Callable[[Backend | None], Iterator[Record]]] = {
    "first_call": first_call,
    "memory": memory,
    "cold_cache": cold_cache,
    "threads": threads,
    "growth": growth,
}

Look = Callable[[Call, Problem], Iterator[Record]]


def _rows(backend: Backend | None, look: Look) -> Iterator[Record]:
    """Records of every row; its twin's where a call of the row would take too long."""
    for task in ROWS:
        whole = find(task.workload)
        twin = shrunk(whole, SHRINK)
        given = problem(twin, task.direction, "float32")
        try:
            call = _call(backend, given)
            call()
            # The least of several: else a busy moment would turn a row of one pass into its twin.
            estimate = min(seconds_of(call) for _ in range(REPEATS)) * whole.macs / twin.macs
        except NotImplementedError:
            estimate = 0.0  # said below
        workload = whole if estimate <= CALL_CAP_S else twin
        yield from _of(backend, workload, task.direction, look)


def _of(
    backend: Backend | None, workload: Workload, direction: str, look: Look
) -> Iterator[Record]:
    """Records of one call; one that says why, if there is no such kernel."""
    empty = {"axis": "", "size": None, "sample": 0, "value": None, "method": "", "reason": ""}
    place = {**empty, "workload": workload.name, "direction": direction, "measure": ""}
    given = problem(workload, direction, "float32")
    try:
        for record in look(_call(backend, given), given):
            yield {**place, **record}
    except NotImplementedError as error:
        yield {**place, "reason": str(error)}


def _call(backend: Backend | None, given: Problem) -> Call:
    return torch_call(given) if backend is None else backend_call(backend, given)


def _first(call: Call, given: Problem) -> Iterator[Record]:
    yield {"measure": "first_s", "value": seconds_of(call)}
    yield from _timed(call, given)


def _timed(call: Call, given: Problem) -> Iterator[Record]:
    call()
    once_s = seconds_of(call)
    calls = max(1, math.ceil(SAMPLE_S / max(once_s, 1e-7)))

    def several() -> None:
        for _ in range(calls):
            call()

    for sample in range(REPEATS):
        yield {"measure": "seconds", "sample": sample, "value": seconds_of(several) / calls}


def _peak(call: Call, given: Problem) -> Iterator[Record]:
    """Peak of allocations during the third call: what a library keeps for good is there by then."""
    call()
    call()
    peak, method = _peak_bytes(call)
    arrays = given.operands if given.direction == FORWARD else (*given.operands, given.grad_output)
    operands = sum(array.nbytes for array in arrays)
    result = _result_bytes(given)
    if peak < result:
        why = f"{method} does not see what it allocates"
        yield {"measure": "peak_bytes", "method": method, "reason": why}
        return
    yield {"measure": "peak_bytes", "value": peak, "method": method}
    yield {"measure": "operand_bytes", "value": operands + result}


def _result_bytes(given: Problem) -> int:
    if given.direction == FORWARD:
        return given.grad_output.nbytes
    return given.operands[given.op.directions.index(given.direction) - 1].nbytes


def _peak_bytes(call: Call) -> tuple[int, str]:
    """(Peak, method): memray sees every allocation, tracemalloc Python's and NumPy's only."""
    try:
        import memray
    except ImportError:
        tracemalloc.start()
        call()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak, "tracemalloc: Python's and NumPy's allocations"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "allocations"
        with memray.Tracker(path):
            call()
        return int(memray.FileReader(path).metadata.peak_memory), "memray: every allocation"


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
