"""The document's loops, as its definitions read. The file to read first.

No speed and no tricks: each kernel is the definition of what it computes, and every other backend
is one more way to say the same. Read `conv`, then `conv_grad_weight`, then `conv_transpose`.

Letters: n batch, g group, o output channel, c input channel, p q output row and column, r s kernel
row and column, i j input row and column. Shapes: input (N, C, H, W), weight (O, C // groups, R, S),
output (N, O, P, Q). What a kernel receives and returns: impls/spec/interface.py.
"""

import numpy as np
from numpy import ndarray

from impls.spec.params import PaddingPairs, Pair
from impls.spec.shapes import avg_pool_divisors, conv_output, pool_output

# ---------------------------------------------------------------------------------- convolution


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
    """Slide the kernel over the image; each output is the sum of a patch times the kernel."""
    shape = conv_output(
        input.shape, weight.shape, stride=stride, padding=padding, dilation=dilation
    )
    output = np.zeros(shape, input.dtype)
    padded = _pad(input, padding)
    for p, q in np.ndindex(*output.shape[2:]):
        window = _window(p, q, weight, stride, dilation)
        for n, o in np.ndindex(*output.shape[:2]):
            patch = padded[n, _channels_of(o, weight, groups)][window]
            output[n, o, p, q] = np.sum(patch * weight[o])
            if bias is not None:
                output[n, o, p, q] += bias[o]
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
    """Each output hands its gradient, times the kernel, back to the patch it came from."""
    grad_padded = np.zeros_like(_pad(input, padding))
    for p, q in np.ndindex(*grad_output.shape[2:]):
        window = _window(p, q, weight, stride, dilation)
        for n, o in np.ndindex(*grad_output.shape[:2]):
            patch = grad_padded[n, _channels_of(o, weight, groups)][window]
            patch += grad_output[n, o, p, q] * weight[o]
    return _crop(grad_padded, padding)


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
    """Each output hands its gradient, times the patch it came from, to its kernel."""
    grad_weight = np.zeros_like(weight)
    padded = _pad(input, padding)
    for p, q in np.ndindex(*grad_output.shape[2:]):
        window = _window(p, q, weight, stride, dilation)
        for n, o in np.ndindex(*grad_output.shape[:2]):
            patch = padded[n, _channels_of(o, weight, groups)][window]
            grad_weight[o] += grad_output[n, o, p, q] * patch
    return grad_weight


def _channels_of(o: int, weight: ndarray, groups: int) -> slice:
    """The input channels of the group that output channel o belongs to."""
    out_channels, in_group = weight.shape[:2]
    g = o // (out_channels // groups)
    return slice(g * in_group, (g + 1) * in_group)


def _window(p: int, q: int, weight: ndarray, stride: Pair, dilation: Pair) -> tuple[slice, ...]:
    """The patch under output pixel (p, q): all channels, every dilation-th row and column."""
    return slice(None), *(
        slice(start * step, start * step + extent * spread, spread)
        for start, step, extent, spread in zip(
            (p, q), stride, weight.shape[2:], dilation, strict=True
        )
    )


def _pad(input: ndarray, padding: PaddingPairs) -> ndarray:
    """The image with rows and columns of zeros around it."""
    return np.pad(input, ((0, 0), (0, 0), *padding))


def _crop(padded: ndarray, padding: PaddingPairs) -> ndarray:
    """The image without the rows and columns that _pad added."""
    (top, bottom), (left, right) = padding
    height, width = padded.shape[2:]
    return np.ascontiguousarray(padded[:, :, top : height - bottom, left : width - right])


# ------------------------------------------------------------------------ transposed convolution


def conv_transpose(
    input: ndarray,
    weight: ndarray,
    bias: ndarray | None,
    *,
    stride: Pair,
    padding: PaddingPairs,
    output_padding: Pair,
    groups: int,
    dilation: Pair,
) -> ndarray:
    """Insert zeros between the pixels, pad, then convolve with the flipped kernel.

    weight: (C, O // groups, R, S). The document pads both axes by kH - 1; here each axis by its own
    kernel, less `padding`, which crops where it is the larger; output_padding adds at the end.
    """
    reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    margins = [
        (span - before, span - after + extra)
        for span, (before, after), extra in zip(reach, padding, output_padding, strict=True)
    ]
    return conv(
        _pad_or_crop(_insert_zeros(input, stride), margins),
        _flipped(weight, groups),
        bias,
        stride=(1, 1),
        padding=((0, 0), (0, 0)),
        dilation=dilation,
        groups=groups,
    )


def conv_transpose_grad_input(
    grad_output: ndarray,
    input: ndarray,
    weight: ndarray,
    *,
    stride: Pair,
    padding: PaddingPairs,
    output_padding: Pair,
    groups: int,
    dilation: Pair,
) -> ndarray:
    """Each pixel collects the gradients of the window it spread its kernel over."""
    grad_input = np.zeros_like(input)
    full = _pad(grad_output, padding)
    for i, j in np.ndindex(*input.shape[2:]):
        window = _window(i, j, weight, stride, dilation)
        for n, c in np.ndindex(*input.shape[:2]):
            patch = full[n, _outputs_of(c, weight, groups)][window]
            grad_input[n, c, i, j] = np.sum(patch * weight[c])
    return grad_input


def conv_transpose_grad_weight(
    grad_output: ndarray,
    input: ndarray,
    weight: ndarray,
    *,
    stride: Pair,
    padding: PaddingPairs,
    output_padding: Pair,
    groups: int,
    dilation: Pair,
) -> ndarray:
    """Each pixel, times the gradients of the window it spread over, goes to its kernel."""
    grad_weight = np.zeros_like(weight)
    full = _pad(grad_output, padding)
    for i, j in np.ndindex(*input.shape[2:]):
        window = _window(i, j, weight, stride, dilation)
        for n, c in np.ndindex(*input.shape[:2]):
            patch = full[n, _outputs_of(c, weight, groups)][window]
            grad_weight[c] += input[n, c, i, j] * patch
    return grad_weight


def _outputs_of(c: int, weight: ndarray, groups: int) -> slice:
    """The output channels of the group that input channel c belongs to."""
    in_channels, out_group = weight.shape[:2]
    g = c // (in_channels // groups)
    return slice(g * out_group, (g + 1) * out_group)


def _insert_zeros(input: ndarray, stride: Pair) -> ndarray:
    """Stride - 1 zeros between neighboring pixels."""
    n, c, h, w = input.shape
    spread = np.zeros((n, c, (h - 1) * stride[0] + 1, (w - 1) * stride[1] + 1), input.dtype)
    spread[:, :, :: stride[0], :: stride[1]] = input
    return spread


def _pad_or_crop(input: ndarray, margins: list[Pair]) -> ndarray:
    """The image with each margin added in zeros, or cut off where it is negative."""
    added = [(max(before, 0), max(after, 0)) for before, after in margins]
    (top, bottom), (left, right) = [(max(-b, 0), max(-a, 0)) for b, a in margins]
    padded = _pad(input, (added[0], added[1]))
    height, width = padded.shape[2:]
    return padded[:, :, top : height - bottom, left : width - right]


def _flipped(weight: ndarray, groups: int) -> ndarray:
    """(C, O // groups, R, S) -> (O, C // groups, R, S), both kernel axes reversed."""
    c, out_group, r, s = weight.shape
    grouped = weight[:, :, ::-1, ::-1].reshape(groups, c // groups, out_group, r, s)
    return grouped.swapaxes(1, 2).reshape(groups * out_group, c // groups, r, s)


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
    """(output, indices): the first largest value of each window, or its last NaN, and its place."""
    shape = pool_output(
        input.shape, kernel_size=kernel_size, stride=stride, padding=padding,
        ceil_mode=ceil_mode, dilation=dilation,
    )  # fmt: skip
    output = np.full(shape, -np.inf, input.dtype)
    indices = np.zeros(shape, np.int64)
    height, width = input.shape[2:]
    for p, q in np.ndindex(*shape[2:]):
        places = _places(p, q, (height, width), kernel_size, stride, padding, dilation)
        for n, c in np.ndindex(*shape[:2]):
            best, where = -np.inf, places[0]
            for i, j in places:
                value = input[n, c, i, j]
                if value > best or np.isnan(value):
                    best, where = value, (i, j)
            output[n, c, p, q] = best
            indices[n, c, p, q] = where[0] * width + where[1]
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
    """Each output hands its gradient to the place it was taken from."""
    grad_input = np.zeros_like(input)
    width = input.shape[3]
    for n, c, p, q in np.ndindex(*grad_output.shape):
        i, j = divmod(indices[n, c, p, q], width)
        grad_input[n, c, i, j] += grad_output[n, c, p, q]
    return grad_input


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
    """The sum of each window's places, divided by what PyTorch counts (avg_pool_counts)."""
    shape = pool_output(
        input.shape, kernel_size=kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode
    )
    divisors = avg_pool_divisors(
        input.shape, shape, kernel_size=kernel_size, stride=stride, padding=padding,
        count_include_pad=count_include_pad, divisor_override=divisor_override,
    )  # fmt: skip
    output = np.zeros(shape, input.dtype)
    for p, q in np.ndindex(*shape[2:]):
        places = _places(p, q, input.shape[2:], kernel_size, stride, padding)
        for n, c in np.ndindex(*shape[:2]):
            for i, j in places:
                output[n, c, p, q] += input[n, c, i, j]
            output[n, c, p, q] /= divisors[p, q]
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
    """Each output hands its gradient, divided, to all places of its window."""
    divisors = avg_pool_divisors(
        input.shape, grad_output.shape, kernel_size=kernel_size, stride=stride, padding=padding,
        count_include_pad=count_include_pad, divisor_override=divisor_override,
    )  # fmt: skip
    grad_input = np.zeros_like(input)
    for p, q in np.ndindex(*grad_output.shape[2:]):
        places = _places(p, q, input.shape[2:], kernel_size, stride, padding)
        for n, c in np.ndindex(*grad_output.shape[:2]):
            share = grad_output[n, c, p, q] / divisors[p, q]
            for i, j in places:
                grad_input[n, c, i, j] += share
    return grad_input


def global_avg_pool(input: ndarray) -> ndarray:
    """The mean of each plane, (N, C)."""
    return np.mean(input, axis=(2, 3))


def global_avg_pool_grad_input(grad_output: ndarray, input: ndarray) -> ndarray:
    """Each mean hands its gradient, divided, to every pixel of its plane."""
    height, width = input.shape[2:]
    grad_input = np.zeros_like(input)
    for n, c in np.ndindex(*grad_output.shape):
        grad_input[n, c] = grad_output[n, c] / (height * width)
    return grad_input


def _places(
    p: int, q: int, plane: tuple[int, ...], kernel_size: Pair, stride: Pair, padding: PaddingPairs,
    dilation: Pair = (1, 1),
) -> list[Pair]:  # fmt: skip
    """The places (i, j) of window (p, q) that lie inside the plane, row by row."""
    rows, columns = (
        [
            place
            for tap in range(kernel_size[axis])
            if (place := start * stride[axis] - padding[axis][0] + tap * dilation[axis]) >= 0
            and place < plane[axis]
        ]
        for axis, start in enumerate((p, q))
    )
    return [(i, j) for i in rows for j in columns]


# ---------------------------------------------------------------------- relu, linear and patches


def relu(input: ndarray) -> ndarray:
    """The larger of 0 and each value; NaN stays NaN and -0.0 stays -0.0, as in PyTorch."""
    output = input.copy()
    output[output < 0] = 0
    return output


def relu_grad_input(grad_output: ndarray, input: ndarray) -> ndarray:
    """The gradient passes where the input is positive, or NaN."""
    grad_input = grad_output.copy()
    grad_input[input <= 0] = 0
    return grad_input


def linear(input: ndarray, weight: ndarray, bias: ndarray | None) -> ndarray:
    """Each output is the sum of a row of the input times a row of the weight."""
    output = np.zeros((len(input), len(weight)), input.dtype)
    for n, o in np.ndindex(*output.shape):
        output[n, o] = np.sum(input[n] * weight[o])
        if bias is not None:
            output[n, o] += bias[o]
    return output


def linear_grad_input(grad_output: ndarray, input: ndarray, weight: ndarray) -> ndarray:
    """Each output hands its gradient, times its weights, back to its row of the input."""
    grad_input = np.zeros_like(input)
    for n, o in np.ndindex(*grad_output.shape):
        grad_input[n] += grad_output[n, o] * weight[o]
    return grad_input


def linear_grad_weight(grad_output: ndarray, input: ndarray, weight: ndarray) -> ndarray:
    """Each output hands its gradient, times its row of the input, to its weights."""
    grad_weight = np.zeros_like(weight)
    for n, o in np.ndindex(*grad_output.shape):
        grad_weight[o] += grad_output[n, o] * input[n]
    return grad_weight


def image_to_patches(image: ndarray, *, patch_size: int) -> ndarray:
    """Cut the image into squares, row by row, and flatten each."""
    height, width, _ = image.shape
    patches = [
        image[i : i + patch_size, j : j + patch_size].flatten()
        for i in range(0, height, patch_size)
        for j in range(0, width, patch_size)
    ]
    return np.array(patches)


def image_to_patches_grad_image(
    grad_output: ndarray, image: ndarray, *, patch_size: int
) -> ndarray:
    """Put each row of gradients back where its square was cut out."""
    grad_image = np.zeros_like(image)
    height, width, channels = image.shape
    squares = iter(grad_output.reshape(-1, patch_size, patch_size, channels))
    for i in range(0, height, patch_size):
        for j in range(0, width, patch_size):
            grad_image[i : i + patch_size, j : j + patch_size] = next(squares)
    return grad_image
