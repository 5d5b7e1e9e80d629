"""Output sizes along one axis, and what follows from them. Sources are named with each rule.

padding is a (before, after) pair; all sizes are in pixels.
"""

import numpy as np
from numpy import ndarray

from impls.spec.params import PaddingPairs, Pair
from impls.spec.plan import Shape


def conv_size(size: int, kernel_size: int, stride: int, padding: Pair, dilation: int) -> int:
    """Output size of a convolution (Dumoulin and Visin 2016, relationship 15)."""
    return (size + sum(padding) - dilation * (kernel_size - 1) - 1) // stride + 1


def conv_transpose_size(
    size: int, kernel_size: int, stride: int, padding: Pair, output_padding: int, dilation: int
) -> int:
    """Output size of a transposed convolution (PyTorch, ConvTranspose2d)."""
    full = (size - 1) * stride + dilation * (kernel_size - 1) + 1
    return full - sum(padding) + output_padding


def pool_size(
    size: int, kernel_size: int, stride: int, padding: Pair, dilation: int, ceil_mode: bool
) -> int:
    """Output size of a pool (PyTorch, pooling_output_shape).

    ceil_mode adds a last window that leaves the input, unless it would start past the input and
    the padding before it.
    """
    reach = size + sum(padding) - dilation * (kernel_size - 1) - 1
    if not ceil_mode:
        return reach // stride + 1
    count = -(-reach // stride) + 1
    return count - 1 if (count - 1) * stride >= size + padding[0] else count


def conv_output(
    input: Shape, weight: Shape, *, stride: Pair, padding: PaddingPairs, dilation: Pair
) -> Shape:
    """(N, O, P, Q) of a convolution. input (N, C, H, W), weight (O, C // groups, R, S)."""
    p = conv_size(input[2], weight[2], stride[0], padding[0], dilation[0])
    q = conv_size(input[3], weight[3], stride[1], padding[1], dilation[1])
    return input[0], weight[0], p, q


def conv_transpose_output(
    input: Shape,
    weight: Shape,
    *,
    stride: Pair,
    padding: PaddingPairs,
    output_padding: Pair,
    groups: int,
    dilation: Pair,
) -> Shape:
    """(N, O, P, Q) of a transposed convolution. weight (C, O // groups, R, S)."""
    p, q = (
        conv_transpose_size(
            input[2 + a], weight[2 + a], stride[a], padding[a], output_padding[a], dilation[a]
        )
        for a in (0, 1)
    )
    return input[0], weight[1] * groups, p, q


def pool_output(
    input: Shape,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: PaddingPairs,
    ceil_mode: bool,
    dilation: Pair = (1, 1),
) -> Shape:
    """(N, C, P, Q) of a pool over input (N, C, H, W)."""
    p, q = (
        pool_size(input[2 + a], kernel_size[a], stride[a], padding[a], dilation[a], ceil_mode)
        for a in (0, 1)
    )
    return input[0], input[1], p, q


def window_starts(count: int, stride: int, padding: Pair) -> ndarray:
    """Input coordinate of each window's first tap; negative inside the padding."""
    return np.arange(count) * stride - padding[0]


def avg_pool_counts(
    size: int, count: int, kernel_size: int, stride: int, padding: Pair, count_include_pad: bool
) -> ndarray:
    """Taps along one axis that each of `count` windows divides by (PyTorch, avg_pool2d).

    Counted up to the end of the padding with count_include_pad, else inside the input only; what
    ceil_mode's last window has beyond the padding never counts.
    """
    starts = window_starts(count, stride, padding)
    ends = np.minimum(starts + kernel_size, size + padding[1])
    if count_include_pad:
        return ends - starts
    return np.minimum(ends, size) - np.maximum(starts, 0)


def avg_pool_divisors(
    input: Shape,
    output: Shape,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: PaddingPairs,
    count_include_pad: bool,
    divisor_override: int | None,
) -> ndarray:
    """Divisor of every window, (P, Q), as int64; never 0."""
    if divisor_override is not None:
        return np.full(output[2:], divisor_override, dtype=np.int64)
    rows, columns = (
        avg_pool_counts(
            input[2 + a], output[2 + a], kernel_size[a], stride[a], padding[a], count_include_pad
        )
        for a in (0, 1)
    )
    return np.outer(rows, columns)
