"""Windows as columns and one matrix product per group: convolution in NumPy.

The windows of the padded image are a view (as_strided); copied into a matrix with one column per
output pixel, a convolution is weight @ columns. Columns take R * S times the memory of the image,
so a batch is worked off in slices whose columns fit COLUMNS_BYTES; a single image is never cut.
Pools have no product: they run over the taps, each a strided view of the whole batch.

Letters and shapes as in impls/loop.py; what a kernel receives and returns: impls/spec/interface.py.
"""

from collections.abc import Iterator

import numpy as np
from numpy import ndarray
from numpy.lib.stride_tricks import as_strided

from impls.spec.params import PaddingPairs, Pair
from impls.spec.shapes import avg_pool_divisors, conv_output, pool_output, window_starts
from impls.spec.transpose import transposed

# Columns of one batch slice; beyond the caches, so that products stay large.
COLUMNS_BYTES = 32 * 2**20


def conv(
    input: ndarray,
    weight: ndarray,
    bias: ndarray | None,
    *,
    stride: Pair,
    padding: PaddingPairs,
    dilation: Pair,
    groups: int,
) -> ndarray:
    """Output (N, O, P, Q): weight @ columns, group by group."""
    shape = conv_output(
        input.shape, weight.shape, stride=stride, padding=padding, dilation=dilation
    )
    output = np.empty(shape, input.dtype)
    n, o, p, q = output.shape
    rows = weight.reshape(groups, o // groups, -1)
    grouped = output.reshape(n, groups, o // groups, p * q)
    for images in _slices(n, weight, groups, output):
        columns = _columns(input[images], weight, (p, q), stride, padding, dilation, groups)
        np.matmul(rows, columns, out=grouped[images])
    if bias is not None:
        output += bias[:, None, None]
    return output


def conv_grad_input(
    grad_output: ndarray,
    input: ndarray,
    weight: ndarray,
    *,
    stride: Pair,
    padding: PaddingPairs,
    dilation: Pair,
    groups: int,
) -> ndarray:
    """(N, C, H, W): weight.T @ grad_output gives the columns' gradient, added back tap by tap."""
    (top, bottom), (left, right) = padding
    n, c, h, w = input.shape
    _, o, p, q = grad_output.shape
    r, s = weight.shape[2:]
    rows = weight.reshape(groups, o // groups, -1).swapaxes(1, 2)
    grouped = grad_output.reshape(n, groups, o // groups, p * q)
    if _is_pointwise(weight, stride, padding) and (p, q) == (h, w):
        return np.matmul(rows, grouped).reshape(input.shape)
    padded = np.zeros((n, c, h + top + bottom, w + left + right), input.dtype)
    for images in _slices(n, weight, groups, grad_output):
        columns = np.matmul(rows, grouped[images]).reshape(-1, c, r, s, p, q)
        for i, j, rows_at, columns_at in _taps((r, s), (p, q), stride, dilation):
            padded[images, :, rows_at, columns_at] += columns[:, :, i, j]
    return np.ascontiguousarray(padded[:, :, top : top + h, left : left + w])


def conv_grad_weight(
    grad_output: ndarray,
    input: ndarray,
    weight: ndarray,
    *,
    stride: Pair,
    padding: PaddingPairs,
    dilation: Pair,
    groups: int,
) -> ndarray:
    """(O, C // groups, R, S): grad_output @ columns.T, summed over the batch."""
    n, o, p, q = grad_output.shape
    grad_weight = np.zeros((groups, o // groups, weight[0].size), weight.dtype)
    grouped = grad_output.reshape(n, groups, o // groups, p * q)
    for images in _slices(n, weight, groups, grad_output):
        columns = _columns(input[images], weight, (p, q), stride, padding, dilation, groups)
        for gradient, column in zip(grouped[images], columns, strict=True):
            grad_weight += gradient @ column.swapaxes(1, 2)
    return grad_weight.reshape(weight.shape)


conv_transpose, conv_transpose_grad_input, conv_transpose_grad_weight = transposed(
    conv, conv_grad_input, conv_grad_weight
)


def _slices(count: int, weight: ndarray, groups: int, output: ndarray) -> Iterator[slice]:
    """Slices of the batch whose columns fit COLUMNS_BYTES, at least one image each."""
    column_bytes = groups * weight[0].size * output[0, 0].size * weight.itemsize if count else 1
    step = max(1, COLUMNS_BYTES // column_bytes)
    return (slice(start, start + step) for start in range(0, count, step))


def _columns(
    input: ndarray,
    weight: ndarray,
    extents: Pair,
    stride: Pair,
    padding: PaddingPairs,
    dilation: Pair,
    groups: int,
) -> ndarray:
    """(N, groups, C // groups * R * S, P * Q): one column per output pixel; a copy.

    extents: (P, Q), read off the caller's array: there may be room for a window more.
    """
    n, c, _, _ = input.shape
    (r, s), (p, q) = weight.shape[2:], extents
    if _is_pointwise(weight, stride, padding):
        return np.ascontiguousarray(input[:, :, :p, :q]).reshape(n, groups, c // groups, p * q)
    padded = _padded(input, padding)
    image, channel, row, column = padded.strides
    strides = (
        image, channel, dilation[0] * row, dilation[1] * column, stride[0] * row,
        stride[1] * column,
    )  # fmt: skip
    windows = as_strided(padded, (n, c, r, s, p, q), strides, writeable=False)
    return windows.reshape(n, groups, c // groups * r * s, p * q)


def _padded(input: ndarray, padding: PaddingPairs, value: float = 0) -> ndarray:
    """The input with a value around its planes; np.pad takes ten times as long for small ones."""
    n, c, h, w = input.shape
    (top, bottom), (left, right) = padding
    padded = np.zeros((n, c, h + top + bottom, w + left + right), input.dtype)
    if value:
        padded.fill(value)
    padded[:, :, top : top + h, left : left + w] = input
    return padded


def _is_pointwise(weight: ndarray, stride: Pair, padding: PaddingPairs) -> bool:
    """Whether every window is a pixel, so that the image is its own columns."""
    return weight.shape[2:] == stride == (1, 1) and padding == ((0, 0), (0, 0))


def _taps(
    kernel_size: Pair, extents: Pair, stride: Pair, dilation: Pair
) -> Iterator[tuple[int, int, slice, slice]]:
    """(r, s, rows, columns): each tap, and the places of the padded plane that all windows read."""
    for r, s in np.ndindex(*kernel_size):
        rows, columns = (
            slice(tap * spread, tap * spread + (count - 1) * step + 1, step)
            for tap, spread, count, step in zip((r, s), dilation, extents, stride, strict=True)
        )
        yield r, s, rows, columns


# --------------------------------------------------------------------------------------- pooling


def max_pool(
    input: ndarray,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: PaddingPairs,
    dilation: Pair,
    ceil_mode: bool,
) -> tuple[ndarray, ndarray]:
    """(output, indices): a running maximum over the taps, all windows at once."""
    shape = pool_output(
        input.shape, kernel_size=kernel_size, stride=stride, padding=padding,
        ceil_mode=ceil_mode, dilation=dilation,
    )  # fmt: skip
    extents = shape[2], shape[3]
    padded = _pooling_pad(input, extents, kernel_size, stride, padding, dilation, -np.inf)
    first_rows, first_columns = (
        _first_inside(window_starts(count, step, pad), spread)
        for count, step, pad, spread in zip(extents, stride, padding, dilation, strict=True)
    )
    width = input.shape[3]
    output = np.full(shape, -np.inf, input.dtype)
    indices = np.empty(shape, np.int64)
    # A window of -inf alone answers its first place; no tap is larger.
    indices[...] = first_rows[:, None] * width + first_columns
    starts = [window_starts(n, s, p) for n, s, p in zip(extents, stride, padding, strict=True)]
    for r, s, rows, columns in _taps(kernel_size, extents, stride, dilation):
        values = padded[:, :, rows, columns]
        place = (starts[0] + r * dilation[0])[:, None] * width + starts[1] + s * dilation[1]
        better = (values > output) | np.isnan(values)
        np.copyto(output, values, where=better)
        np.copyto(indices, place, where=better)
    return output, indices


def max_pool_grad_input(
    grad_output: ndarray,
    input: ndarray,
    indices: ndarray,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: PaddingPairs,
    dilation: Pair,
    ceil_mode: bool,
) -> ndarray:
    """(N, C, H, W): every gradient added where its value was taken from."""
    n, c, h, w = input.shape
    grad_input = np.zeros(n * c * h * w, input.dtype)
    planes = np.arange(n * c).reshape(n, c, 1, 1) * (h * w)
    np.add.at(grad_input, (planes + indices).ravel(), grad_output.ravel())
    return grad_input.reshape(input.shape)


def avg_pool(
    input: ndarray,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: PaddingPairs,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> ndarray:
    """Output (N, C, P, Q): the taps summed, all windows at once, then divided."""
    shape = pool_output(
        input.shape, kernel_size=kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode
    )
    extents = shape[2], shape[3]
    padded = _pooling_pad(input, extents, kernel_size, stride, padding, (1, 1), 0)
    output = np.zeros(shape, input.dtype)
    for _, _, rows, columns in _taps(kernel_size, extents, stride, (1, 1)):
        output += padded[:, :, rows, columns]
    divisors = avg_pool_divisors(
        input.shape, shape, kernel_size=kernel_size, stride=stride, padding=padding,
        count_include_pad=count_include_pad, divisor_override=divisor_override,
    )  # fmt: skip
    output /= divisors.astype(output.dtype)
    return output


def avg_pool_grad_input(
    grad_output: ndarray,
    input: ndarray,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: PaddingPairs,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> ndarray:
    """(N, C, H, W): the divided gradients added back tap by tap."""
    shape = grad_output.shape
    extents = shape[2], shape[3]
    divisors = avg_pool_divisors(
        input.shape, shape, kernel_size=kernel_size, stride=stride, padding=padding,
        count_include_pad=count_include_pad, divisor_override=divisor_override,
    )  # fmt: skip
    share = grad_output / divisors.astype(grad_output.dtype)
    padded = np.zeros_like(_pooling_pad(input, extents, kernel_size, stride, padding, (1, 1), 0))
    for _, _, rows, columns in _taps(kernel_size, extents, stride, (1, 1)):
        padded[:, :, rows, columns] += share
    (top, _), (left, _) = padding
    h, w = input.shape[2:]
    return np.ascontiguousarray(padded[:, :, top : top + h, left : left + w])


def global_avg_pool(input: ndarray) -> ndarray:
    """The mean of each plane, (N, C)."""
    return input.mean(axis=(2, 3))


def global_avg_pool_grad_input(grad_output: ndarray, input: ndarray) -> ndarray:
    """(N, C, H, W): each gradient over the pixels of its plane."""
    grad_input = np.empty_like(input)
    grad_input[...] = (grad_output / input[0, 0].size)[:, :, None, None] if input.size else 0
    return grad_input


def _pooling_pad(
    input: ndarray,
    extents: Pair,
    kernel_size: Pair,
    stride: Pair,
    padding: PaddingPairs,
    dilation: Pair,
    value: float,
) -> ndarray:
    """The image padded with `value` as far as the last windows reach, ceil_mode's overhang too."""
    margins: list[Pair] = []
    for axis in (0, 1):
        reach = (extents[axis] - 1) * stride[axis] + dilation[axis] * (kernel_size[axis] - 1) + 1
        before, after = padding[axis]
        margins.append((before, max(after, reach - input.shape[2 + axis] - before)))
    return _padded(input, (margins[0], margins[1]), value)


def _first_inside(starts: ndarray, dilation: int) -> ndarray:
    """The first tap of each window that is not in the padding before the image."""
    return np.where(starts < 0, starts + -(starts // dilation) * dilation, starts)


# ---------------------------------------------------------------------- relu, linear and patches


def relu(input: ndarray) -> ndarray:
    """The larger of 0 and each value; NaN stays NaN and -0.0 stays -0.0."""
    return np.where(input < 0, input.dtype.type(0), input)


def relu_grad_input(grad_output: ndarray, input: ndarray) -> ndarray:
    """The gradient where the input is positive, or NaN; else 0."""
    return np.where(input <= 0, input.dtype.type(0), grad_output)


def linear(input: ndarray, weight: ndarray, bias: ndarray | None) -> ndarray:
    """(N, out): one matrix product."""
    output = input @ weight.T
    if bias is not None:
        output += bias
    return output


def linear_grad_input(grad_output: ndarray, input: ndarray, weight: ndarray) -> ndarray:
    """(N, in): one matrix product."""
    return grad_output @ weight


def linear_grad_weight(grad_output: ndarray, input: ndarray, weight: ndarray) -> ndarray:
    """(out, in): one matrix product."""
    return grad_output.T @ input


def image_to_patches(image: ndarray, *, patch_size: int) -> ndarray:
    """(H // p * W // p, p * p * C): the axes of the squares brought together, one copy."""
    height, _, channels = image.shape
    squares = image.reshape(height // patch_size, patch_size, -1, patch_size, channels)
    rows = squares.transpose(0, 2, 1, 3, 4).copy()
    return rows.reshape(-1, patch_size * patch_size * channels)


def image_to_patches_grad_image(
    grad_output: ndarray, image: ndarray, *, patch_size: int
) -> ndarray:
    """(H, W, C): the same exchange of axes, back."""
    height, _, channels = image.shape
    squares = grad_output.reshape(height // patch_size, -1, patch_size, patch_size, channels)
    return squares.transpose(0, 2, 1, 3, 4).copy().reshape(image.shape)
