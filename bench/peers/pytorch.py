"""PyTorch itself as a backend: its float32 grade is the yardstick of everyone else's.

pytest conformance --backend bench/peers/pytorch.py
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy import ndarray

from impls.spec.params import PaddingPairs


def _tensor(array: ndarray) -> torch.Tensor:
    """The same memory as a tensor; a copy of what is read-only, as PyTorch asks for it."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _array(tensor: torch.Tensor) -> ndarray:
    return np.ascontiguousarray(tensor.detach().numpy())


def _gradient(
    grad_output: ndarray, operands: list[ndarray], wrt: int, call: Callable[..., Any]
) -> ndarray:
    """Gradient of call(*operands) with respect to one of them."""
    tensors = [_tensor(operand) for operand in operands]
    tensors[wrt].requires_grad_()
    output = call(*tensors)
    (gradient,) = torch.autograd.grad(output, tensors[wrt], _tensor(grad_output))
    return _array(gradient)


# ---------------------------------------------------------------------------------- convolution


def _conv2d(
    input: Any, weight: Any, bias: Any = None, *, padding: PaddingPairs, **params: Any
) -> Any:
    (top, bottom), (left, right) = padding
    if top == bottom and left == right:
        return F.conv2d(input, weight, bias, padding=(top, left), **params)
    return F.conv2d(F.pad(input, (left, right, top, bottom)), weight, bias, **params)


def _conv_transpose2d(
    input: Any, weight: Any, bias: Any = None, *, padding: PaddingPairs, **params: Any
) -> Any:
    (top, bottom), (left, right) = padding
    if top == bottom and left == right:
        return F.conv_transpose2d(input, weight, bias, padding=(top, left), **params)
    full = F.conv_transpose2d(input, weight, bias, **params)
    return full[:, :, top : full.shape[2] - bottom, left : full.shape[3] - right]


def conv(input: ndarray, weight: ndarray, bias: ndarray | None, **params: Any) -> ndarray:
    """Output (N, O, P, Q)."""
    optional = None if bias is None else _tensor(bias)
    return _array(_conv2d(_tensor(input), _tensor(weight), optional, **params))


def conv_grad_input(
    grad_output: ndarray, input: ndarray, weight: ndarray, **params: Any
) -> ndarray:
    """(N, C, H, W)."""
    return _gradient(grad_output, [input, weight], 0, lambda x, w: _conv2d(x, w, **params))


def conv_grad_weight(
    grad_output: ndarray, input: ndarray, weight: ndarray, **params: Any
) -> ndarray:
    """(O, C // groups, R, S)."""
    return _gradient(grad_output, [input, weight], 1, lambda x, w: _conv2d(x, w, **params))


def conv_transpose(input: ndarray, weight: ndarray, bias: ndarray | None, **params: Any) -> ndarray:
    """Output (N, O, P, Q)."""
    optional = None if bias is None else _tensor(bias)
    return _array(_conv_transpose2d(_tensor(input), _tensor(weight), optional, **params))


def conv_transpose_grad_input(
    grad_output: ndarray, input: ndarray, weight: ndarray, **params: Any
) -> ndarray:
    """(N, C, H, W)."""
    return _gradient(
        grad_output, [input, weight], 0, lambda x, w: _conv_transpose2d(x, w, **params)
    )


def conv_transpose_grad_weight(
    grad_output: ndarray, input: ndarray, weight: ndarray, **params: Any
) -> ndarray:
    """(C, O // groups, R, S)."""
    return _gradient(
        grad_output, [input, weight], 1, lambda x, w: _conv_transpose2d(x, w, **params)
    )


# --------------------------------------------------------------------------------------- pooling


def _pooling(params: dict[str, Any]) -> dict[str, Any]:
    """Kernel parameters in PyTorch's form: padding is the same on both sides of a pool."""
    (top, _), (left, _) = params["padding"]
    return {**params, "padding": (top, left)}


def max_pool(input: ndarray, **params: Any) -> tuple[ndarray, ndarray]:
    """(output, indices)."""
    output, indices = F.max_pool2d(_tensor(input), **_pooling(params), return_indices=True)
    return _array(output), _array(indices)


def max_pool_grad_input(
    grad_output: ndarray, input: ndarray, indices: ndarray, **params: Any
) -> ndarray:
    """(N, C, H, W)."""
    pooling = _pooling(params)
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    given = (_tensor(grad_output), _tensor(input), *(pooling[name] for name in names))
    backward = torch.ops.aten.max_pool2d_with_indices_backward
    return _array(backward(*given, _tensor(indices)))


def avg_pool(input: ndarray, **params: Any) -> ndarray:
    """Output (N, C, P, Q)."""
    return _array(F.avg_pool2d(_tensor(input), **_pooling(params)))


def avg_pool_grad_input(grad_output: ndarray, input: ndarray, **params: Any) -> ndarray:
    """(N, C, H, W)."""
    return _gradient(grad_output, [input], 0, lambda x: F.avg_pool2d(x, **_pooling(params)))


def global_avg_pool(input: ndarray) -> ndarray:
    """Output (N, C)."""
    return _array(F.adaptive_avg_pool2d(_tensor(input), 1).flatten(1))


def global_avg_pool_grad_input(grad_output: ndarray, input: ndarray) -> ndarray:
    """(N, C, H, W)."""
    return _gradient(grad_output, [input], 0, lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1))


# ---------------------------------------------------------------------- relu, linear and patches


def relu(input: ndarray) -> ndarray:
    """Output of the input's shape."""
    return _array(F.relu(_tensor(input)))


def relu_grad_input(grad_output: ndarray, input: ndarray) -> ndarray:
    """Gradient of the input's shape."""
    return _gradient(grad_output, [input], 0, F.relu)


def linear(input: ndarray, weight: ndarray, bias: ndarray | None) -> ndarray:
    """Output (N, out)."""
    optional = None if bias is None else _tensor(bias)
    return _array(F.linear(_tensor(input), _tensor(weight), optional))


def linear_grad_input(grad_output: ndarray, input: ndarray, weight: ndarray) -> ndarray:
    """(N, in)."""
    return _gradient(grad_output, [input, weight], 0, F.linear)


def linear_grad_weight(grad_output: ndarray, input: ndarray, weight: ndarray) -> ndarray:
    """(out, in)."""
    return _gradient(grad_output, [input, weight], 1, F.linear)


def _patches(image: Any, patch_size: int) -> Any:
    squares = image.unfold(0, patch_size, patch_size).unfold(1, patch_size, patch_size)
    return squares.permute(0, 1, 3, 4, 2).reshape(-1, patch_size**2 * image.shape[2])


def image_to_patches(image: ndarray, *, patch_size: int) -> ndarray:
    """(H // p * W // p, p * p * C)."""
    return _array(_patches(_tensor(image), patch_size).clone())


def image_to_patches_grad_image(
    grad_output: ndarray, image: ndarray, *, patch_size: int
) -> ndarray:
    """(H, W, C)."""
    return _gradient(grad_output, [image], 0, lambda x: _patches(x, patch_size))
