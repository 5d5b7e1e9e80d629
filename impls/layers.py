"""The document's layers and networks, forward and backward, over any backend; and how to train.

    network = SimpleCNN(num_classes=10, backend="numba", seed=0)
    velocities = [np.zeros_like(parameter) for parameter, _ in network.parameters()]
    loss, grad_logits = softmax_cross_entropy(network.forward(images), labels)
    network.backward(grad_logits)
    sgd_step(network.parameters(), velocities, learning_rate=0.05, momentum=0.9)

Parameters are plain attributes, to be read, assigned or changed in place; the gradient of
`filters` is `grad_filters`, zero until the first backward. `backward` answers for the last
`forward`, with what it was given then and the parameters it had; it may be called again.

`backend` is what impls.get takes, or a Backend; numba, the default, is meant for speed. Arrays are
float32 or float64, all of a layer alike, or integers, which take the dtype of the floats beside
them. Initial values are drawn from `seed`, equal ones from equal seeds. Wrong calls raise
ValueError naming argument, value and rule, TypeError for other arrays, bools among them.
"""

from collections.abc import Iterable
from numbers import Real
from typing import TypeVar

import numpy as np
from numpy import ndarray
from numpy.typing import DTypeLike

from impls.backend import Backend
from impls.registry import backend_of
from impls.spec.arrays import (
    FLOATS,
    check_float_array,
    check_rank,
    check_same_dtype,
    check_shape,
    is_integer_array,
)
from impls.spec.params import integer
from impls.spec.shapes import conv_size

Seed = int | np.random.Generator | None
Saved = TypeVar("Saved")
# Its values and its gradient.
Parameter = tuple[ndarray, ndarray]


class Conv2DLayer:
    """A convolution with bias: filters (O, C, k, k), bias (O,), x (N, C, H, W).

    He initialization: filters normal with scale sqrt(2 / (C * k * k)), bias zero.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 0,
        *,
        backend: str | Backend = "numba",
        dtype: DTypeLike = np.float64,
        seed: Seed = None,
    ) -> None:
        c = integer("in_channels", in_channels, at_least=1)
        o = integer("out_channels", out_channels, at_least=1)
        k = integer("kernel_size", kernel_size, at_least=1)
        self.stride = integer("stride", stride, at_least=1)
        self.padding = integer("padding", padding, at_least=0)
        self.backend = backend_of(backend)
        scale = np.sqrt(2.0 / (c * k * k))
        self.filters = (_generator(seed).standard_normal((o, c, k, k)) * scale).astype(
            _float_dtype(dtype)
        )
        self.bias = np.zeros(o, self.filters.dtype)
        self.grad_filters = np.zeros_like(self.filters)
        self.grad_bias = np.zeros_like(self.bias)
        self._saved: tuple[ndarray, ndarray, int, int] | None = None

    def forward(self, x: ndarray) -> ndarray:
        """(N, O, P, Q), each axis (size + 2 * padding - k) // stride + 1."""
        filters, bias, x = _alike(filters=self.filters, bias=self.bias, x=x)
        self._check(filters, bias, x)
        output = self.backend.conv2d(x, filters, bias, stride=self.stride, padding=self.padding)
        # Copies: the caller may reuse x, and an optimizer changes filters in place.
        self._saved = x.copy(), filters.copy(), self.stride, self.padding
        return output

    def backward(self, grad_output: ndarray) -> ndarray:
        """grad_input (N, C, H, W); grad_filters and grad_bias are kept. grad_output: (N, O, P, Q).

        Raises ValueError if there was no forward.
        """
        x, filters, stride, padding = _after_forward(self._saved)
        _, grad_output = _alike(filters=filters, grad_output=grad_output)
        grad_input, self.grad_filters, self.grad_bias = self.backend.conv2d_backward(
            grad_output, x, filters, stride=stride, padding=padding
        )
        return grad_input

    def parameters(self) -> list[Parameter]:
        """(filters, grad_filters), (bias, grad_bias)."""
        return [(self.filters, self.grad_filters), (self.bias, self.grad_bias)]

    def _check(self, filters: ndarray, bias: ndarray, x: ndarray) -> None:
        """Raise ValueError, in the layer's words, for what the gate would tell in its own."""
        padding = integer("padding", self.padding, at_least=0)
        check_rank("filters", filters.shape, (4,), "(O, C, kH, kW)")
        check_rank("x", x.shape, (4,), "(N, C, H, W)")
        check_shape("bias", bias, filters.shape[:1], "one per filter")
        if min(filters.shape) < 1:
            raise ValueError(f"filters.shape={filters.shape} must be at least 1 on every axis")
        if x.shape[1] != filters.shape[1]:
            raise ValueError(
                f"x.shape={x.shape} must have the channels of filters.shape={filters.shape}"
            )
        pads = (padding, padding)
        sizes = [conv_size(x.shape[axis], filters.shape[axis], 1, pads, 1) for axis in (2, 3)]
        if min(*x.shape[2:], *sizes) < 1:
            raise ValueError(
                f"x.shape={x.shape} must hold filters.shape={filters.shape} with padding={padding}"
            )


class ResidualBlock:
    """relu(x + f(x)), f two 3 x 3 convolutions with a relu between; x (N, channels, H, W)."""

    def __init__(
        self,
        channels: int,
        *,
        backend: str | Backend = "numba",
        dtype: DTypeLike = np.float64,
        seed: Seed = None,
    ) -> None:
        channels = integer("channels", channels, at_least=1)
        self.backend = backend = backend_of(backend)
        seed = _generator(seed)
        self.conv1, self.conv2 = (
            Conv2DLayer(channels, channels, padding=1, backend=backend, dtype=dtype, seed=seed)
            for _ in range(2)
        )
        self._saved: tuple[ndarray, ndarray] | None = None

    def forward(self, x: ndarray) -> ndarray:
        """relu(x + f(x)), the shape of x."""
        _, x = _alike(filters=self.conv1.filters, x=x)
        inner = self.backend.relu(self.conv1.forward(x))
        residual = self.conv2.forward(inner)
        if residual.shape != x.shape:
            raise ValueError(
                f"x.shape={x.shape} must be the shape of what the convolutions make of it,"
                f" {residual.shape}, to be added"
            )
        output = self.backend.relu(residual + x)
        self._saved = inner, output.copy()
        return output

    def backward(self, grad_output: ndarray) -> ndarray:
        """grad_input, the shape of x; conv1 and conv2 keep their gradients."""
        inner, output = _after_forward(self._saved)
        _, grad_output = _alike(output=output, grad_output=grad_output)
        # A relu's output tells as well as its input where it passed.
        grad_sum = self.backend.relu_backward(grad_output, output)
        grad_inner = self.backend.relu_backward(self.conv2.backward(grad_sum), inner)
        return self.conv1.backward(grad_inner) + grad_sum

    def parameters(self) -> list[Parameter]:
        """conv1's pairs, then conv2's."""
        return [*self.conv1.parameters(), *self.conv2.parameters()]


class SimpleCNN:
    """Three blocks of 3 x 3 convolution, relu and 2 x 2 max pool; global average; fc.

    x: (N, 3, H, W), 32 x 32 in the document, at least 8 x 8. Logits (N, num_classes).
    fc is (128, num_classes), normal with scale 0.01, as in the document; PyTorch's linear has its
    transpose. fc_bias is zero.
    """

    def __init__(
        self,
        num_classes: int = 10,
        *,
        backend: str | Backend = "numba",
        dtype: DTypeLike = np.float64,
        seed: Seed = None,
    ) -> None:
        num_classes = integer("num_classes", num_classes, at_least=1)
        self.backend = backend = backend_of(backend)
        seed = _generator(seed)
        self.conv1, self.conv2, self.conv3 = (
            Conv2DLayer(c, o, padding=1, backend=backend, dtype=dtype, seed=seed)
            for c, o in ((3, 32), (32, 64), (64, 128))
        )
        self.fc = (seed.standard_normal((128, num_classes)) * 0.01).astype(_float_dtype(dtype))
        self.fc_bias = np.zeros(num_classes, self.fc.dtype)
        self.grad_fc = np.zeros_like(self.fc)
        self.grad_fc_bias = np.zeros_like(self.fc_bias)
        self._saved: tuple[list[tuple[ndarray, ndarray]], ndarray, ndarray, ndarray] | None = None

    def forward(self, x: ndarray) -> ndarray:
        """Logits, (N, num_classes)."""
        _, x = _alike(filters=self.conv1.filters, x=x)
        check_rank("x", x.shape, (4,), "(N, C, H, W)")
        if min(x.shape[2:]) < 8:
            raise ValueError(f"x.shape={x.shape} must be at least 8 x 8: it is halved three times")
        blocks = []
        for conv in (self.conv1, self.conv2, self.conv3):
            active = self.backend.relu(conv.forward(x))
            x, indices = self.backend.max_pool2d(active, 2, 2, return_indices=True)
            blocks.append((active, indices))
        fc, fc_bias, x = _alike(fc=self.fc, fc_bias=self.fc_bias, x=x)
        check_rank("fc", fc.shape, (2,), "(in, out)")
        check_shape("fc", fc, (x.shape[1], fc.shape[1]), "one row per filter of conv3")
        check_shape("fc_bias", fc_bias, fc.shape[1:], "one per column of fc")
        features = self.backend.global_avg_pool2d(x)
        logits = self.backend.linear(features, fc.T, fc_bias)
        self._saved = blocks, x, features, fc.copy()
        return logits

    def backward(self, grad_output: ndarray) -> ndarray:
        """grad_input, the shape of x; grad_fc, grad_fc_bias and the convolutions' are kept.

        grad_output: (N, num_classes).
        """
        blocks, pooled, features, fc = _after_forward(self._saved)
        _, grad_output = _alike(fc=fc, grad_output=grad_output)
        grad, grad_weight, self.grad_fc_bias = self.backend.linear_backward(
            grad_output, features, fc.T
        )
        self.grad_fc = np.ascontiguousarray(grad_weight.T)
        grad = self.backend.global_avg_pool2d_backward(grad, pooled)
        convs = (self.conv1, self.conv2, self.conv3)
        for conv, (active, indices) in zip(reversed(convs), reversed(blocks), strict=True):
            grad = self.backend.max_pool2d_backward(grad, active, 2, 2, indices=indices)
            grad = conv.backward(self.backend.relu_backward(grad, active))
        return grad

    def parameters(self) -> list[Parameter]:
        """The pairs of conv1, conv2 and conv3, then (fc, grad_fc) and (fc_bias, grad_fc_bias)."""
        convs = (self.conv1, self.conv2, self.conv3)
        own = [(self.fc, self.grad_fc), (self.fc_bias, self.grad_fc_bias)]
        return [*(pair for conv in convs for pair in conv.parameters()), *own]


def softmax_cross_entropy(logits: ndarray, labels: ndarray) -> tuple[float, ndarray]:
    """(loss, grad_logits): the mean of -log softmax(logits)[label] over the batch, its gradient.

    logits: (N, classes), of any size: nothing overflows. labels: N integers in [0, classes).
    """
    (logits,) = _alike(logits=logits)
    check_rank("logits", logits.shape, (2,), "(N, classes)")
    if min(logits.shape) < 1:
        raise ValueError(f"logits.shape={logits.shape} must have an image and a class")
    if not is_integer_array(labels):
        raise TypeError(f"labels must be an array of integers, not {_described(labels)}")
    count, classes = logits.shape
    check_shape("labels", labels, (count,), "one per row of logits")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels must lie in [0, {classes}), the columns of logits, but reach from"
            f" {labels.min()} to {labels.max()}"
        )
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    log_softmax = shifted - log_sums
    chosen = np.arange(count), labels
    gradient = np.exp(log_softmax)
    gradient[chosen] -= 1
    return float(-log_softmax[chosen].mean()), gradient / count


def sgd_step(
    parameters: Iterable[Parameter],
    velocities: Iterable[ndarray],
    learning_rate: float,
    momentum: float = 0.0,
) -> None:
    """One step down the gradients, in place: PyTorch's SGD.

    velocity = momentum * velocity + gradient; parameter -= learning_rate * velocity.
    parameters: (parameter, gradient) pairs. velocities: one for each, zero before the first step.
    """
    learning_rate = _not_negative("learning_rate", learning_rate)
    momentum = _not_negative("momentum", momentum)
    steps = list(zip(parameters, velocities, strict=True))
    for (parameter, gradient), velocity in steps:
        arrays = {"parameter": parameter, "gradient": gradient, "velocity": velocity}
        for name, array in arrays.items():
            check_float_array(name, array)
            check_shape(name, array, parameter.shape, "the shape of its parameter")
        check_same_dtype(arrays)
    for (parameter, gradient), velocity in steps:
        velocity *= momentum
        velocity += gradient
        parameter -= learning_rate * velocity


def _generator(seed: Seed) -> np.random.Generator:
    if isinstance(seed, np.random.Generator) or seed is None:
        return np.random.default_rng(seed)
    return np.random.default_rng(integer("seed", seed, at_least=0))


def _float_dtype(dtype: DTypeLike) -> np.dtype:
    if np.dtype(dtype) not in FLOATS or not np.dtype(dtype).isnative:
        raise TypeError(f"dtype={dtype!r} must be float32 or float64, native order")
    return np.dtype(dtype)


def _alike(**arrays: ndarray) -> list[ndarray]:
    """The arrays in one dtype: integers take that of the floats beside them, or float64."""
    floats = {name: array for name, array in arrays.items() if not is_integer_array(array)}
    for name, array in floats.items():
        check_float_array(name, array)
    if floats:
        check_same_dtype(floats)
    dtype = next((array.dtype for array in floats.values()), np.dtype(np.float64))
    return [np.asarray(array, dtype) for array in arrays.values()]


def _described(value: ndarray) -> str:
    return f"of {value.dtype}" if isinstance(value, ndarray) else type(value).__name__


def _after_forward(saved: Saved | None) -> Saved:
    if saved is None:
        raise ValueError("backward must follow forward, whose input it needs")
    return saved


def _not_negative(name: str, value: float) -> float:
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value < np.inf:
        raise ValueError(f"{name}={value!r} must be a finite number, not below 0")
    return float(value)
