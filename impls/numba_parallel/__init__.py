"""The kernels in Numba, parallel over planes.

    _jit.py   how kernels are compiled and launched
    _conv.py  convolution, its gradients, linear
    _pool.py  pools, relu, patches

Here each kernel allocates its result, states its work in multiply-adds and launches a compiled
function. Outputs are allocated by NumPy, outside compiled code: large arrays get huge pages there.
What a kernel receives and returns: impls/spec/interface.py.
"""

from math import prod

import numpy as np
from numpy import ndarray

from impls.numba_parallel import _conv, _pool
from impls.numba_parallel._jit import launch
from impls.spec.params import PaddingPairs, Pair
from impls.spec.shapes import avg_pool_divisors, conv_output, pool_output
from impls.spec.transpose import transposed


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
    """Output (N, O, P, Q)."""
    shape = conv_output(
        input.shape, weight.shape, stride=stride, padding=padding, dilation=dilation
    )
    output = np.empty(shape, input.dtype)
    bias = np.zeros(shape[1], input.dtype) if bias is None else bias
    work = output.size * weight[0].size
    launch(_conv.conv, work, (output,), (input, weight, bias), stride, padding, dilation, groups)
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
    """(N, C, H, W)."""
    grad_input = np.empty_like(input)
    work = grad_output.size * weight[0].size
    launch(
        _conv.conv_grad_input, work, (grad_input,), (grad_output, weight),
        stride, padding, dilation, groups,
    )  # fmt: skip
    return grad_input


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
    """(O, C // groups, R, S)."""
    grad_weight = np.empty_like(weight)
    work = grad_output.size * weight[0].size
    launch(
        _conv.conv_grad_weight, work, (grad_weight,), (grad_output, input),
        stride, padding, dilation, groups,
    )  # fmt: skip
    return grad_weight


conv_transpose, conv_transpose_grad_input, conv_transpose_grad_weight = transposed(
    conv, conv_grad_input, conv_grad_weight
)


def max_pool(
    input: ndarray,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: PaddingPairs,
    dilation: Pair,
    ceil_mode: bool,
) -> tuple[ndarray, ndarray]:
    """(output, indices), both (N, C, P, Q)."""
    shape = pool_output(
        input.shape, kernel_size=kernel_size, stride=stride, padding=padding,
        ceil_mode=ceil_mode, dilation=dilation,
    )  # fmt: skip
    output, indices = np.empty(shape, input.dtype), np.empty(shape, np.int64)
    work = output.size * prod(kernel_size)
    launch(
        _pool.max_pool, work, (output, indices), (input,), kernel_size, stride, padding, dilation
    )
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
    """(N, C, H, W)."""
    grad_input = np.empty_like(input)
    launch(_pool.max_pool_grad_input, input.size, (grad_input,), (grad_output, indices))
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
    """Output (N, C, P, Q)."""
    shape = pool_output(
        input.shape, kernel_size=kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode
    )
    divisors = avg_pool_divisors(
        input.shape, shape, kernel_size=kernel_size, stride=stride, padding=padding,
        count_include_pad=count_include_pad, divisor_override=divisor_override,
    ).astype(input.dtype)  # fmt: skip
    output = np.empty(shape, input.dtype)
    work = output.size * prod(kernel_size)
    launch(_pool.avg_pool, work, (output,), (input, divisors), kernel_size, stride, padding)
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
    """(N, C, H, W)."""
    divisors = avg_pool_divisors(
        input.shape, grad_output.shape, kernel_size=kernel_size, stride=stride, padding=padding,
        count_include_pad=count_include_pad, divisor_override=divisor_override,
    ).astype(input.dtype)  # fmt: skip
    grad_input = np.empty_like(input)
    work = grad_output.size * prod(kernel_size)
    launch(
        _pool.avg_pool_grad_input, work, (grad_input,), (grad_output, divisors),
        kernel_size, stride, padding,
    )  # fmt: skip
    return grad_input


def global_avg_pool(input: ndarray) -> ndarray:
    """Output (N, C)."""
    output = np.empty(input.shape[:2], input.dtype)
    launch(_pool.global_avg_pool, input.size, (output,), (input,))
    return output


def global_avg_pool_grad_input(grad_output: ndarray, input: ndarray) -> ndarray:
    """(N, C, H, W)."""
    grad_input = np.empty_like(input)
    launch(_pool.global_avg_pool_grad_input, input.size, (grad_input,), (grad_output,))
    return grad_input


def relu(input: ndarray) -> ndarray:
    """Output of the input's shape."""
    output = np.empty_like(input)
    launch(_pool.relu, input.size, (output.reshape(-1),), (input.reshape(-1),))
    return output


def relu_grad_input(grad_output: ndarray, input: ndarray) -> ndarray:
    """Gradient of the input's shape."""
    grad_input = np.empty_like(input)
    inputs = (grad_output.reshape(-1), input.reshape(-1))
    launch(_pool.relu_grad_input, input.size, (grad_input.reshape(-1),), inputs)
    return grad_input


def linear(input: ndarray, weight: ndarray, bias: ndarray | None) -> ndarray:
    """Output (N, out)."""
    output = np.empty((len(input), len(weight)), input.dtype)
    bias = np.zeros(len(weight), input.dtype) if bias is None else bias
    launch(_conv.linear, len(input) * weight.size, (output,), (input, weight, bias))
    return output


def linear_grad_input(grad_output: ndarray, input: ndarray, weight: ndarray) -> ndarray:
    """(N, in)."""
    grad_input = np.empty_like(input)
    work = len(input) * weight.size
    launch(_conv.linear_grad_input, work, (grad_input,), (grad_output, weight))
    return grad_input


def linear_grad_weight(grad_output: ndarray, input: ndarray, weight: ndarray) -> ndarray:
    """(out, in)."""
    grad_weight = np.empty_like(weight)
    work = len(input) * weight.size
    launch(_conv.linear_grad_weight, work, (grad_weight,), (grad_output, input))
    return grad_weight


def image_to_patches(image: ndarray, *, patch_size: int) -> ndarray:
    """(H // p * W // p, p * p * C)."""
    height, width, channels = image.shape
    patches = height // patch_size * (width // patch_size)
    output = np.empty((patches, patch_size * patch_size * channels), image.dtype)
    launch(_pool.image_to_patches, image.size, (output,), (image,), patch_size)
    return output


def image_to_patches_grad_image(
    grad_output: ndarray, image: ndarray, *, patch_size: int
) -> ndarray:
    """(H, W, C)."""
    grad_image = np.empty_like(image)
    work = image.size
    launch(_pool.image_to_patches_grad_image, work, (grad_image,), (grad_output,), patch_size)
    return grad_image
