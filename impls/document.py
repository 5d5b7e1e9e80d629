"""The document's functions, by its names and in its order, over any backend.

`backend` is what impls.get takes, or a Backend: a path is read anew at each call, a Backend is not.
The default is numba, the backend that is meant for speed.

Arrays are NumPy arrays, float32 or float64 alike, or integers, which become float64, so that no
pixel wraps around at 256. The dtype of a result is else that of the document's listing: float64
where nothing else is said. Wrong calls raise ValueError naming argument, value and rule; TypeError
for what is no such array, bools among them. Where the document and PyTorch differ, PyTorch wins,
and the function says so.
"""

import numpy as np
from numpy import ndarray

from impls.backend import Backend
from impls.registry import backend_of
from impls.spec.arrays import (
    check_float_array,
    check_rank,
    check_same_dtype,
    check_shape,
    is_integer_array,
)
from impls.spec.params import integer
from impls.spec.plan import Shape
from impls.spec.shapes import conv_size

horizontal_edge = np.array([[-1, -1, -1], [0, 0, 0], [1, 1, 1]])
vertical_edge = np.array([[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]])
sharpen = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]])


def conv2d(image: ndarray, kernel: ndarray, *, backend: str | Backend = "numba") -> ndarray:
    """The feature map of a kernel slid across an image, (H - kH + 1, W - kW + 1).

    image: (H, W) or (H, W, C). kernel: (kH, kW) or (kH, kW, C), with the image's axes and channels.
    Differs from the document's boxed formula, a true convolution, which flips the kernel: as its
    code and PyTorch do, this correlates. transposed_conv2d with stride 1 is the true one.
    """
    return conv2d_strided(image, kernel, backend=backend)


def conv2d_strided(
    image: ndarray,
    kernel: ndarray,
    stride: int = 1,
    padding: int = 0,
    *,
    backend: str | Backend = "numba",
) -> ndarray:
    """conv2d, every stride-th row and column of it, with zeros around the image.

    Each axis is (size + 2 * padding - kernel) // stride + 1 long.
    Differs from the document, which needs (H, W, C): an image and a kernel may be planes too.
    """
    image, kernel = _floats(image=image, kernel=kernel)
    _output_shape("image", image, kernel, stride, padding)
    return backend_of(backend).conv2d(
        _channels_first(image), _channels_first(kernel), stride=stride, padding=padding
    )[0, 0]


def max_pool2d(
    x: ndarray, pool_size: int = 2, stride: int = 2, *, backend: str | Backend = "numba"
) -> ndarray:
    """The largest value of every window. x: (N, C, H, W); returns (N, C, P, Q).

    Differs from the document where pool_size is not stride: it has H // stride windows, clipped at
    the edge; here, as in PyTorch, they are those that fit, (H - pool_size) // stride + 1.
    """
    return backend_of(backend).max_pool2d(_pool_input(x, pool_size, stride), pool_size, stride)


def avg_pool2d(
    x: ndarray, pool_size: int = 2, stride: int = 2, *, backend: str | Backend = "numba"
) -> ndarray:
    """The mean of every window. x: (N, C, H, W); returns (N, C, P, Q).

    Differs from the document as max_pool2d does.
    """
    return backend_of(backend).avg_pool2d(_pool_input(x, pool_size, stride), pool_size, stride)


def global_avg_pool(x: ndarray, *, backend: str | Backend = "numba") -> ndarray:
    """The mean of every plane, in the dtype of x. x: (N, C, H, W); returns (N, C)."""
    return backend_of(backend).global_avg_pool2d(_planes(x))


def relu(x: ndarray, *, backend: str | Backend = "numba") -> ndarray:
    """The larger of 0 and each value, in the shape and dtype of x.

    Differs from the document for integers, which it leaves integers.
    """
    return backend_of(backend).relu(*_floats(x=x))


def conv2d_backward(
    d_out: ndarray,
    x: ndarray,
    kernel: ndarray,
    stride: int = 1,
    padding: int = 0,
    *,
    backend: str | Backend = "numba",
) -> tuple[ndarray, ndarray]:
    """(d_x, d_kernel): the gradients of conv2d_strided, each in its array's shape and dtype.

    d_out: shape of the output, (P, Q). x, kernel: as conv2d_strided takes them.
    Differs from the document, which has one channel: here x may have channels too; with groups,
    bias and a batch it is Backend.conv2d_backward.
    """
    d_out, x, kernel = _floats(d_out=d_out, x=x, kernel=kernel)
    output = _output_shape("x", x, kernel, stride, padding)
    check_shape("d_out", d_out, output, "the shape of the output")
    d_x, d_kernel, _ = backend_of(backend).conv2d_backward(
        _channels_first(d_out),
        _channels_first(x),
        _channels_first(kernel),
        stride=stride,
        padding=padding,
        output_mask=(True, True, False),
    )
    return _like(x, d_x), _like(kernel, d_kernel)


def transposed_conv2d(
    x: ndarray, kernel: ndarray, stride: int = 2, *, backend: str | Backend = "numba"
) -> ndarray:
    """X upsampled: every pixel spreads its multiple of the kernel, stride apart.

    x: (H, W). kernel: (kH, kW). Returns ((H - 1) * stride + kH, (W - 1) * stride + kW).
    Differs from the document where kH is not kW: it pads both axes by kH - 1; here, as in PyTorch,
    each axis is padded by its own kernel less one.
    """
    x, kernel = _floats(x=x, kernel=kernel)
    for name, array in {"x": x, "kernel": kernel}.items():
        check_rank(name, array.shape, (2,), "a plane, (H, W)")
        _check_filled(name, array.shape)
    return backend_of(backend).conv_transpose2d(
        _channels_first(x), _channels_first(kernel), stride=integer("stride", stride, at_least=1)
    )[0, 0]


def image_to_patches(
    image: ndarray, patch_size: int = 16, *, backend: str | Backend = "numba"
) -> ndarray:
    """The image cut into squares, row by row, each flattened, in the dtype of the image.

    image: (H, W, C). Returns (H // patch_size * W // patch_size, patch_size * patch_size * C).
    Raises ValueError, where the document asserts, unless patch_size divides H and W.
    Differs from the document for integers, which it leaves integers.
    """
    return backend_of(backend).image_to_patches(*_floats(image=image), patch_size)


def _floats(**arrays: ndarray) -> list[ndarray]:
    """The arrays, integers as float64; TypeError unless the others are floats of one dtype."""
    floats = {name: array for name, array in arrays.items() if not is_integer_array(array)}
    for name, array in floats.items():
        check_float_array(name, array)
    if floats:
        check_same_dtype(floats)
    return [np.asarray(a, None if name in floats else np.float64) for name, a in arrays.items()]


def _output_shape(name: str, image: ndarray, kernel: ndarray, stride: int, padding: int) -> Shape:
    """(P, Q) of a right call; ValueError, in the document's words, for a wrong one."""
    check_rank(name, image.shape, (2, 3), "(H, W) or (H, W, C)")
    if kernel.ndim != image.ndim or kernel.shape[2:] != image.shape[2:]:
        raise ValueError(
            f"kernel.shape={kernel.shape} must have the axes and the channels of"
            f" {name}.shape={image.shape}"
        )
    _check_filled(name, image.shape)
    _check_filled("kernel", kernel.shape)
    stride = integer("stride", stride, at_least=1)
    padding = integer("padding", padding, at_least=0)
    p, q = (
        conv_size(image.shape[axis], kernel.shape[axis], stride, (padding, padding), 1)
        for axis in (0, 1)
    )
    if min(p, q) < 1:
        raise ValueError(
            f"kernel.shape={kernel.shape} must fit into {name}.shape={image.shape} with"
            f" padding={padding}"
        )
    return p, q


def _check_filled(name: str, shape: Shape) -> None:
    if min(shape) < 1:
        raise ValueError(f"{name}.shape={shape} must be at least 1 on every axis")


def _channels_first(image: ndarray) -> ndarray:
    """(H, W) or (H, W, C) as (1, C, H, W), float64: listings sum into float64, whatever comes."""
    planes = image.reshape(*image.shape[:2], -1).transpose(2, 0, 1)
    return planes[np.newaxis].astype(np.float64)


def _like(image: ndarray, planes: ndarray) -> ndarray:
    """(1, C, H, W) in the image's shape and dtype."""
    return planes[0].transpose(1, 2, 0).reshape(image.shape).astype(image.dtype)


def _planes(x: ndarray) -> ndarray:
    """Feature maps, checked, as floats."""
    (x,) = _floats(x=x)
    check_rank("x", x.shape, (4,), "(N, C, H, W)")
    if min(x.shape[1:]) < 1:
        raise ValueError(f"x.shape={x.shape} must be at least 1 on every axis but the batch")
    return x


def _pool_input(x: ndarray, pool_size: int, stride: int) -> ndarray:
    """Feature maps as float64; ValueError unless a window fits into them."""
    x = _planes(x)
    integer("stride", stride, at_least=1)
    if integer("pool_size", pool_size, at_least=1) > min(x.shape[2:]):
        raise ValueError(f"pool_size={pool_size} must fit into x.shape={x.shape}")
    return x.astype(np.float64, copy=False)
