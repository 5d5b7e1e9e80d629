"""Which arrays a call accepts: native float32 or float64 NumPy arrays, all of one dtype.

TypeError for what is no such array, ValueError for a wrong shape or range. `prepared` makes
the one form that kernels see: an aligned, C-contiguous ndarray, copied only where it must be.
"""

from collections.abc import Container, Mapping
from typing import Any

import numpy as np
from numpy import ndarray

from impls.spec.plan import Shape

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def check_float_array(name: str, value: Any) -> None:
    """Raise TypeError unless `value` is an array of one of FLOATS."""
    _check_array(name, value)
    if value.dtype not in FLOATS or not value.dtype.isnative:
        raise TypeError(f"{name}.dtype={value.dtype.str} must be float32 or float64, native order")


def is_integer_array(value: Any) -> bool:
    """Whether `value` is a plain array of integers, which the document's functions take."""
    is_plain = isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray)
    return is_plain and np.issubdtype(value.dtype, np.integer)


def check_same_dtype(arrays: Mapping[str, ndarray]) -> None:
    """Raise TypeError unless all arrays have the dtype of the first."""
    (first, reference), *others = arrays.items()
    for name, array in others:
        if array.dtype != reference.dtype:
            raise TypeError(
                f"{name}.dtype={array.dtype} must be the dtype of {first}, {reference.dtype}"
            )


def check_rank(name: str, shape: Shape, ranks: Container[int], layout: str) -> None:
    """Raise ValueError unless the number of axes is one of `ranks`."""
    if len(shape) not in ranks:
        raise ValueError(f"{name}.shape={shape} must be {layout}")


def check_shape(name: str, array: ndarray, expected: Shape, why: str) -> None:
    """Raise ValueError unless the array has the expected shape."""
    if array.shape != expected:
        raise ValueError(f"{name}.shape={array.shape} must be {expected}, {why}")


def check_indices(value: Any, expected: Shape, plane: int) -> None:
    """Raise unless `value` is an int64 array of `expected` shape with entries in [0, plane)."""
    _check_array("indices", value)
    if value.dtype != np.int64 or not value.dtype.isnative:
        raise TypeError(f"indices.dtype={value.dtype.str} must be int64, native order")
    check_shape("indices", value, expected, "the shape of the output")
    if value.size and not (value.min() >= 0 and value.max() < plane):
        raise ValueError(
            f"indices must lie in [0, {plane}), the input's plane, but reach from"
            f" {value.min()} to {value.max()}"
        )


def is_plain(array: ndarray) -> bool:
    """Whether an array is as kernels get it, but perhaps unaligned."""
    # NumPy calls an array contiguous that is reversed along an axis of length 1.
    is_forward = min(array.strides, default=0) >= 0
    return type(array) is ndarray and array.flags.c_contiguous and is_forward


def prepared(array: ndarray, shape: Shape) -> ndarray:
    """The array as kernels get it: `shape`, C-contiguous, aligned, plain ndarray."""
    if not (is_plain(array) and array.flags.aligned):
        array = np.require(array, requirements=("C", "A", "E"))
        if not is_plain(array):
            array = array.copy()
    return array.reshape(shape)


def _check_array(name: str, value: Any) -> None:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, not {type(value).__name__}")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must not be a masked array: its mask would be ignored")
