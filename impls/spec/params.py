"""PyTorch's parameter forms, read once: an int, a pair or a one-element sequence -> a pair.

Every function takes the argument's name and value, and raises ValueError naming both and the rule.
NumPy integers are ints; bools and floats are not (PyTorch refuses them too).
"""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

Pair = tuple[int, int]
PaddingPairs = tuple[Pair, Pair]
IntOrPair = int | Sequence[int]

# PyTorch's own limit; kernels count in int64.
LARGEST = 2**63 - 1


def is_int(value: Any) -> bool:
    # Asking an abstract class takes ten times as long, and most are plain ints.
    return type(value) is int or (
        isinstance(value, Integral) and not isinstance(value, bool | np.bool_)
    )


def integer(name: str, value: Any, *, at_least: int) -> int:
    """`value` as an int, not below `at_least`."""
    if not is_int(value):
        raise ValueError(f"{name}={value!r} must be an int")
    if value < at_least:
        raise ValueError(f"{name}={value!r} must be at least {at_least}")
    _check_largest(name, value, value)
    return int(value)


def boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}={value!r} must be a bool")
    return bool(value)


def pair(name: str, value: Any, *, at_least: int) -> Pair:
    """(height, width) from an int, a pair or a one-element sequence of ints."""
    values = (value,) if is_int(value) else value
    if not _is_sequence(values) or len(values) not in (1, 2) or not all(map(is_int, values)):
        raise ValueError(f"{name}={value!r} must be an int or a pair of ints")
    if min(values) < at_least:
        raise ValueError(f"{name}={value!r} must be at least {at_least} on both axes")
    _check_largest(name, value, *values)
    return int(values[0]), int(values[-1])


def conv_padding(value: Any) -> PaddingPairs:
    """((top, bottom), (left, right)) from an int, a pair, or a pair of (before, after) pairs."""
    if _is_sequence(value) and len(value) == 2 and all(map(_is_sequence, value)):
        pairs = tuple(_before_after(value, axis) for axis in value)
        return pairs[0], pairs[1]
    try:
        top, left = pair("padding", value, at_least=0)
    except ValueError as error:
        raise ValueError(f"{error}; or ((top, bottom), (left, right))") from None
    return (top, top), (left, left)


def same_padding(kernel_size: Pair, stride: Pair, dilation: Pair) -> PaddingPairs:
    """PyTorch's "same": the output is as large as the input; an odd pixel goes to the end."""
    if stride != (1, 1):
        raise ValueError(f"padding='same' must have stride 1, but stride={stride}")
    totals = [d * (k - 1) for k, d in zip(kernel_size, dilation, strict=True)]
    height, width = [(total // 2, total - total // 2) for total in totals]
    return height, width


def pool_padding(value: Any, kernel_size: Pair) -> PaddingPairs:
    """PyTorch's pooling padding: equal on both sides, at most half of the kernel."""
    height, width = pair("padding", value, at_least=0)
    if height > kernel_size[0] // 2 or width > kernel_size[1] // 2:
        raise ValueError(
            f"padding={value!r} must be at most half of kernel_size={kernel_size}, on both axes"
        )
    return (height, height), (width, width)


def pool_stride(value: Any, kernel_size: Pair) -> Pair:
    """The stride of a pool: the kernel size for None and for an empty sequence."""
    if value is None or (_is_sequence(value) and len(value) == 0):
        return kernel_size
    return pair("stride", value, at_least=1)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, tuple | list)


def _check_largest(name: str, value: Any, *numbers: int) -> None:
    if max(map(abs, map(int, numbers))) > LARGEST:
        raise ValueError(f"{name}={value!r} must be at most {LARGEST}")


def _before_after(value: Any, axis: Any) -> Pair:
    if len(axis) != 2 or not all(map(is_int, axis)):
        raise ValueError(f"padding={value!r} must hold ints: ((top, bottom), (left, right))")
    if min(axis) < 0:
        raise ValueError(f"padding={value!r} must be at least 0 on every side")
    _check_largest("padding", value, *axis)
    return int(axis[0]), int(axis[1])
