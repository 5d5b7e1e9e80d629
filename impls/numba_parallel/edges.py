"""Run by test_tile.py: dense kernels on arrays that end where readable memory ends.

A read or write beyond an array ends this process. Prints the bytes of a vector, then "right".
"""

import ctypes
import mmap

import numpy as np
from numpy import ndarray

from impls import im2col, numba_parallel
from impls.numba_parallel import _jit
from impls.numba_parallel._tile import ISA
from impls.spec.plan import Params

PAGE = mmap.PAGESIZE
NO_ACCESS = 0
LIBC = ctypes.CDLL(None, use_errno=True)
HELD: list[mmap.mmap] = []


def at_the_edge(array: ndarray) -> ndarray:
    """A copy whose last element is the last before a page without access."""
    pages = -(-array.nbytes // PAGE)
    memory = mmap.mmap(-1, (pages + 1) * PAGE)
    HELD.append(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    if LIBC.mprotect(ctypes.c_void_p(start + pages * PAGE), ctypes.c_size_t(PAGE), NO_ACCESS):
        raise OSError(ctypes.get_errno(), "mprotect")
    offset = pages * PAGE - array.nbytes
    copy = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy


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
    # Copied: padding, strides, groups, dilation, windows of one column.
    ((2, 4, 9, 11), (6, 2, 3, 2), call(padding=((1, 2), (0, 3)), groups=2)),
    ((1, 3, 20, 21), (17, 3, 5, 3), call(stride=(2, 3), padding=((2, 2), (1, 1)))),
    ((3, 2, 10, 9), (5, 2, 3, 3), call(dilation=(2, 3), padding=((2, 2), (3, 3)))),
]


def main() -> None:
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        for shape, weight_shape, params in SHAPES:
            input = rng.integers(-4, 5, shape).astype(dtype)
            weight = rng.integers(-4, 5, weight_shape).astype(dtype)
            bias = rng.integers(-4, 5, weight_shape[0]).astype(dtype)
            expected = im2col.conv(input, weight, bias, **params)
            grad = rng.integers(-4, 5, expected.shape).astype(dtype)
            x, w, b, dy = map(at_the_edge, (input, weight, bias, grad))
            for work in (0, float("inf")) if dtype == "float32" else (float("inf"),):
                _jit.SERIAL_WORK = work  # type: ignore[assignment]
                for actual, wanted in (
                    (numba_parallel.conv(x, w, b, **params), expected),
                    (
                        numba_parallel.conv_grad_input(dy, x, w, **params),
                        im2col.conv_grad_input(grad, input, weight, **params),
                    ),
                    (
                        numba_parallel.conv_grad_weight(dy, x, w, **params),
                        im2col.conv_grad_weight(grad, input, weight, **params),
                    ),
                ):
                    np.testing.assert_array_equal(actual, wanted, err_msg=f"{shape} {params}")
    print(ISA.vector_bytes, "right")


if __name__ == "__main__":
    main()
