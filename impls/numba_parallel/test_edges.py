"""Dense kernels on each register set, where memory ends: every array's, and their own panels'.

What they allocate they free.

A read or write beyond one of them ends the process, so this file runs itself in one of its own: as
a script it prints the bytes of a vector, the rows of a tile, then "right".
"""

import ctypes
import mmap
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from llvmlite.binding import get_host_cpu_name as host_cpu
from numba import carray, njit
from numba.core.runtime import rtsys
from numpy import ndarray

from impls import im2col, numba_parallel
from impls.numba_parallel import _dense, _jit, _lanes, _plan, _spread, _thin, _turned
from impls.numba_parallel._tile import CACHE_LINE, ISA
from impls.spec.plan import Params

PAGE = mmap.PAGESIZE
NO_ACCESS = 0
LIBC = ctypes.CDLL(None, use_errno=True)
MAP, PROTECT = LIBC.mmap, LIBC.mprotect
MAP.argtypes = [ctypes.c_size_t] * 2 + [ctypes.c_int] * 3 + [ctypes.c_long]
MAP.restype = ctypes.POINTER(ctypes.c_uint8)
PROTECT.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
HELD: list[mmap.mmap] = []


def at_the_edge(array: ndarray) -> ndarray:
    """A copy whose last element is the last before a page without access."""
    pages = -(-array.nbytes // PAGE)
    memory = mmap.mmap(-1, (pages + 1) * PAGE)
    HELD.append(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    if PROTECT(start + pages * PAGE, PAGE, NO_ACCESS):
        raise OSError(ctypes.get_errno(), "mprotect")
    offset = pages * PAGE - array.nbytes
    copy = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy


@njit
def aligned_at_the_edge(size, like):  # type: ignore[no-untyped-def]
    """_strips.aligned, of NaN: its last cache line is the last before a page without access."""
    n_bytes = -(-size * like.itemsize // CACHE_LINE) * CACHE_LINE
    end = -(-n_bytes // PAGE) * PAGE
    memory = carray(MAP(0, end + PAGE, READ_WRITE, PRIVATE, -1, 0), end)
    if PROTECT(memory.ctypes.data + end, PAGE, NO_ACCESS):
        raise OSError("mprotect")
    array = memory[end - n_bytes :].view(like.dtype)[:size]
    array[:] = np.nan
    return array


def call(**given: object) -> Params:
    plain: Params = {
        "stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1,
    }  # fmt: skip
    return plain | given


SHAPES = [
    # Read where they stand: whole vectors, a tail, several images together.
    ((1, 3, 8, 12), (9, 3, 1, 1), call()),
    ((2, 70, 7, 7), (20, 70, 1, 1), call()),
    ((1, 5, 3, 400), (3, 5, 1, 1), call()),
    # The same, with so many rows that panels are packed; with a rest there is no panel.
    ((1, 150, 8, 12), (70, 150, 1, 1), call()),
    ((1, 70, 7, 7), (70, 70, 1, 1), call()),
    # Copied: padding, strides, groups, dilation, windows of one column.
    ((2, 4, 9, 11), (6, 2, 3, 2), call(padding=((1, 2), (0, 3)), groups=2)),
    ((1, 3, 20, 21), (17, 3, 5, 3), call(stride=(2, 3), padding=((2, 2), (1, 1)))),
    ((1, 70, 9, 8), (66, 70, 3, 3), call(stride=(2, 2), padding=((1, 1), (1, 1)))),
    ((2, 3, 23, 26), (17, 3, 5, 5), call(stride=(4, 4), padding=((2, 1), (1, 2)))),
    ((3, 2, 10, 9), (5, 2, 3, 3), call(dilation=(2, 3), padding=((2, 2), (3, 3)))),
    # Summed with the gaps between lines: few rows, several images, strips, a stride's gradient.
    ((1, 4, 14, 14), (10, 4, 3, 3), call(padding=((1, 1), (1, 1)))),
    ((3, 20, 14, 15), (17, 20, 3, 3), call(padding=((1, 1), (1, 1)))),
    ((2, 8, 90, 60), (11, 8, 3, 3), call(padding=((1, 1), (1, 1)))),
    ((2, 9, 14, 14), (13, 9, 3, 3), call(stride=(2, 2), padding=((1, 1), (1, 1)))),
    # The same, of three images two strips for two threads, one a line shorter; a stride of lines.
    ((3, 3, 3, 3), (4, 3, 3, 3), call(padding=((2, 2), (1, 1)))),
    ((3, 2, 3, 4), (6, 2, 2, 3), call(padding=((1, 1), (1, 1)))),
    ((2, 64, 8, 8), (70, 64, 2, 2), call(stride=(2, 1), padding=((1, 1), (1, 1)))),
    # A rest of one pixel and of two, read where they stand and copied; nothing but a rest.
    ((1, 70, 7, 7), (20, 70, 1, 1), call()),
    ((1, 3, 5, 10), (10, 3, 3, 3), call(padding=((1, 1), (1, 1)))),
    ((1, 70, 13, 13), (70, 70, 1, 1), call(stride=(2, 2))),
    ((1, 6, 14, 13), (8, 3, 3, 3), call(stride=(2, 2), padding=((1, 1), (1, 1)), groups=2)),
    ((1, 40, 1, 2), (11, 40, 1, 1), call()),
    # Three rows and fewer: panels of twice the width, in one run; strips, images, strides.
    ((1, 7, 12, 30), (3, 7, 1, 1), call()),
    ((2, 3, 24, 23), (10, 3, 3, 3), call(padding=((1, 1), (1, 1)))),
    ((2, 3, 30, 44), (9, 3, 5, 5), call(stride=(2, 2), padding=((2, 2), (2, 2)))),
    ((1, 2, 40, 50), (9, 2, 3, 3), call(stride=(3, 3))),
    # Panels packed by their first tile, whose vectors have several short lines: of images, of a
    # stride's gradient.
    ((3, 40, 7, 7), (70, 40, 3, 3), call(padding=((1, 1), (1, 1)))),
    ((3, 66, 13, 9), (20, 66, 3, 3), call(stride=(2, 2), padding=((1, 1), (1, 1)))),
    # Turned around: taps in the padding, so many channels that they go in blocks, few pixels, a
    # stride whose phases have few taps or none, groups.
    ((3, 50, 7, 6), (53, 50, 3, 3), call(padding=((1, 1), (1, 1)))),
    ((5, 200, 3, 2), (70, 200, 3, 4), call(padding=((2, 1), (1, 3)))),
    ((2, 50, 9, 8), (40, 50, 1, 1), call(stride=(2, 3))),
    ((3, 34, 8, 9), (36, 17, 4, 3), call(stride=(2, 2), padding=((1, 2), (1, 1)), groups=2)),
    # A rest of grad_input: rows in the lanes, a kernel's taps in one vector and in two.
    ((1, 96, 7, 7), (70, 96, 1, 1), call()),
    ((1, 96, 14, 14), (80, 96, 1, 1), call()),
    ((1, 64, 3, 6), (10, 32, 1, 1), call(groups=2)),
    ((1, 70, 7, 7), (17, 70, 3, 3), call(padding=((1, 1), (1, 1)))),
    ((1, 96, 7, 7), (9, 96, 5, 5), call(padding=((2, 2), (2, 2)))),
    ((1, 70, 7, 7), (9, 70, 13, 13), call(padding=((6, 6), (6, 6)))),
    # Parts of an image with taps of their own, in blocks of channels, and tap by tap: all within a
    # vector, more, some that no window has.
    ((2, 70, 14, 13), (70, 70, 3, 3), call(padding=((12, 12), (6, 6)), dilation=(12, 6))),
    ((3, 17, 9, 10), (9, 17, 5, 5), call(padding=((8, 8), (8, 8)), dilation=(4, 4))),
    # The same of one channel: its tile is wide, but a part's lines are not.
    ((2, 1, 33, 33), (9, 1, 3, 1), call(padding=((24, 0), (1, 0)), dilation=(12, 1))),
    ((1, 40, 11, 30), (22, 20, 3, 1), call(padding=((14, 12), (0, 0)), dilation=(12, 1), groups=2)),
    # Few rows of a weight's gradient, which is transposed.
    ((2, 103, 9, 11), (16, 103, 1, 1), call()),
    # So many pixels that sums are kept until the end, in groups, with columns for two tasks.
    ((2, 10, 24, 23), (10, 5, 3, 3), call(padding=((1, 1), (1, 1)), groups=2)),
    # So few rows that they are dot products, in two strips.
    ((1, 150, 40, 30), (2, 150, 1, 1), call()),
    # Swept: groups of one channel or two.
    ((2, 3, 9, 21), (6, 1, 3, 5), call(padding=((1, 0), (2, 1)), groups=3)),
    ((1, 4, 12, 10), (4, 2, 4, 1), call(stride=(3, 2), dilation=(2, 1), groups=2)),
    # The same of a weight's gradient alone: groups of four rows.
    ((2, 6, 9, 8), (8, 3, 3, 2), call(padding=((1, 1), (0, 1)), groups=2)),
    ((1, 8, 12, 21), (8, 4, 3, 3), call(stride=(2, 1), padding=((1, 1), (1, 1)), groups=2)),
    # Depthwise: rows of the kernel together, of two heights; both phases of a stride.
    ((1, 4, 19, 37), (4, 1, 7, 7), call(padding=((3, 3), (3, 3)), groups=4)),
    ((2, 3, 9, 20), (3, 1, 5, 3), call(padding=((2, 2), (2, 2)), dilation=(1, 2), groups=3)),
    ((2, 3, 12, 11), (3, 1, 3, 3), call(stride=(2, 2), padding=((1, 1), (1, 1)), groups=3)),
    ((1, 3, 5, 1), (3, 1, 3, 1), call(stride=(1, 2), groups=3)),
    # Depthwise, small planes: channels in the lanes; fewer pixels than lanes, several images.
    ((2, 40, 7, 7), (40, 1, 7, 7), call(padding=((3, 3), (3, 3)), groups=40)),
    ((3, 19, 5, 3), (19, 1, 3, 3), call(stride=(2, 2), padding=((1, 1), (1, 1)), groups=19)),
    ((2, 24, 13, 14), (24, 1, 3, 2), call(stride=(3, 1), padding=((0, 2), (1, 0)), groups=24)),
    ((1, 17, 9, 8), (17, 1, 3, 3), call(padding=((4, 5), (3, 3)), dilation=(2, 1), groups=17)),
]


def main() -> None:
    for module in (_dense, _lanes, _spread, _thin, _turned):
        vars(module)["aligned"] = aligned_at_the_edge
    # So small that shapes like these meet them: rows go in parts, and pixels are asked for early.
    _plan.TOGETHER_BYTES = _plan.READ_BYTES = _plan.FAR_BYTES = 1 << 12
    _plan.FETCHED_BYTES = _plan.FETCHED_FEW_ROWS_BYTES = _plan.FAR_WEIGHT_BYTES = 1 << 10
    _plan.TURNED_BYTES = 1 << 17
    rng = np.random.default_rng(0)
    # Each version is compiled here: one per dtype is enough. All that can be turned around is, or
    # nothing.
    for (dtype, work), share in product((("float32", 0), ("float64", 1 << 60)), (0, float("inf"))):
        _jit.SERIAL_WORK = _jit.WAKING_WORK = work
        _plan.TURNED_SHARE = share
        numba_parallel._job.cache_clear()
        for shape, weight_shape, params in SHAPES:
            input = rng.integers(-4, 5, shape).astype(dtype)
            weight = rng.integers(-4, 5, weight_shape).astype(dtype)
            bias = rng.integers(-4, 5, weight_shape[0]).astype(dtype)
            output = im2col.conv(input, weight, bias, **params)
            grad = rng.integers(-4, 5, output.shape).astype(dtype)
            x, w, b, dy = map(at_the_edge, (input, weight, bias, grad))
            said = f"{dtype} {shape} {params} turned below {share}"
            actual = numba_parallel.conv(x, w, b, **params)
            np.testing.assert_array_equal(actual, output, err_msg=said)
            for name in ("conv_grad_input", "conv_grad_weight"):
                actual = getattr(numba_parallel, name)(dy, x, w, **params)
                expected = getattr(im2col, name)(grad, input, weight, **params)
                np.testing.assert_array_equal(actual, expected, err_msg=f"{name} {said}")
    stats = rtsys.get_allocation_stats()
    assert stats.mi_alloc == stats.mi_free > 0, f"compiled code must free its arrays: {stats}"
    print(ISA.vector_bytes, ISA.rows, "right")


class Forced(NamedTuple):
    """A register set: what makes Numba compile for it, and the vector's bytes, the tile's rows."""

    environment: dict[str, str]
    vector_bytes: int
    rows: int


# Zen 4 has its own length of blocks; NEON's tile is also right where it is not compiled to NEON.
FORCED = {
    "this": Forced({}, ISA.vector_bytes, ISA.rows),
    "AVX-512, Zen 4": Forced({"NUMBA_CPU_NAME": "znver4"}, 64, 8),
    "AVX-512, Zen 5": Forced({"NUMBA_CPU_NAME": "znver5"}, 64, 8),
    "AVX2": Forced(
        {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+avx,+sse4.2,+bmi2"}, 32, 6
    ),
    "NEON": Forced({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+neon"}, 16, 8),
    "128 bits": Forced({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}, 16, 4),
}


@pytest.mark.parametrize("name", FORCED)
def test_each_register_set_is_right_and_reads_no_array_beyond_its_ends(
    name: str, tmp_path: Path
) -> None:
    environment, vector_bytes, rows = FORCED[name]
    if ISA.vector_bytes < vector_bytes:
        pytest.skip(f"this processor has no {name}")
    if name.startswith("AVX-512") and host_cpu() == environment["NUMBA_CPU_NAME"]:
        pytest.skip("this is it")
    done = subprocess.run(
        [sys.executable, __file__],
        env={
            "PYTHONPATH": str(Path(__file__).parents[2]), "NUMBA_CACHE_DIR": str(tmp_path),
            "NUMBA_NUM_THREADS": "2", "NUMBA_NRT_STATS": "1", **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [str(vector_bytes), str(rows), "right"]


if __name__ == "__main__":
    main()
