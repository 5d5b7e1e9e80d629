"""RIGHTS: backends that compute otherwise and as right as im2col; the suite must accept each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import numpy as np
import scipy.fft
import scipy.signal
import torch
import torch.nn.functional as F
from numpy import ndarray
from threadpoolctl import ThreadpoolController

from conformance.meta import sins
from conformance.meta.faults import made
from conformance.meta.sins import Kernel, Sin
from impls import im2col
from impls.backend import Backend
from impls.spec.interface import KERNELS
from impls.spec.shapes import conv_output

DENSE = {"stride": (1, 1), "dilation": (1, 1), "groups": 1}
POOLS = ThreadpoolController()
# (weight, column) by tap, in the order of the weight's memory.
Products = list[tuple[ndarray, ndarray]]
NAMES = tuple(name for name in KERNELS if hasattr(im2col, name))


@dataclass(frozen=True, slots=True)
class Right:
    """A backend whose `kernels` replace im2col's, in another way.

    spreads_nan: it multiplies what is out of reach by 0; equal as long as all is finite.
    """

    name: str
    kernels: dict[str, Kernel]
    accuracy: str = "direct"
    spreads_nan: bool = False

    def backend(self) -> Backend:
        return made({**self.kernels, "accuracy": self.accuracy})


def around(kernel: str, before: Callable[[ndarray], ndarray], after: Callable[..., Any]) -> Kernel:
    """im2col's kernel: `before` on each float array, `after` on each answer, with the dtype."""
    right: Kernel = getattr(im2col, kernel)

    def compute(*arrays: Any, **params: Any) -> Any:
        changed = (a if a is None or a.dtype.kind != "f" else before(np.asarray(a)) for a in arrays)
        answer, dtype = right(*changed, **params), arrays[0].dtype
        if isinstance(answer, tuple):
            return after(answer[0], dtype), answer[1]
        return after(answer, dtype)

    return compute


def bound(sin: Sin, kernel: str) -> Kernel:
    """A sin without a change, which is none, as a kernel."""
    return partial(sin, getattr(im2col, kernel))


def all_around(
    before: Callable[[ndarray], ndarray], after: Callable[..., Any]
) -> dict[str, Kernel]:
    return {name: around(name, before, after) for name in NAMES}


def _is_dense(params: Any) -> bool:
    return all(params[name] == value for name, value in DENSE.items())


def by_planes(transform: Callable[[ndarray, ndarray], ndarray], taps: Any = None) -> Kernel:
    """A conv by transform(plane, kernel), channel by channel; im2col's where that is not enough.

    taps: the only kernel size that the transform knows.
    """

    def conv(input: ndarray, weight: ndarray, bias: Any, **params: Any) -> ndarray:
        if not _is_dense(params) or taps not in (None, weight.shape[2:]):
            return im2col.conv(input, weight, bias, **params)
        padded = np.pad(input, ((0, 0), (0, 0), *params["padding"]))
        del params["groups"]
        output = np.zeros(conv_output(input.shape, weight.shape, **params), input.dtype)
        for n, o, c in np.ndindex(*output.shape[:2], input.shape[1]):
            output[n, o] += transform(padded[n, c], weight[o, c]).astype(input.dtype)
        return output if bias is None else output + bias[:, None, None]

    return conv


def correlated(plane: ndarray, kernel: ndarray) -> ndarray:
    found: ndarray = scipy.signal.correlate2d(plane, kernel, "valid")
    return found


def by_fft(plane: ndarray, kernel: ndarray) -> ndarray:
    """Valid cross-correlation by the discrete Fourier transform, in the plane's precision."""
    spectrum = scipy.fft.rfft2(plane) * np.conj(scipy.fft.rfft2(kernel, plane.shape))
    full: ndarray = scipy.fft.irfft2(spectrum, plane.shape)
    return full[: plane.shape[0] - kernel.shape[0] + 1, : plane.shape[1] - kernel.shape[1] + 1]


def by_winograd(plane: ndarray, kernel: ndarray) -> ndarray:
    """F(2 x 2, 3 x 3) of Lavin and Gray 2015: four by four pixels give two by two outputs."""
    of_pixels = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], plane.dtype)
    of_taps = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]], plane.dtype) / 2
    of_sums = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], plane.dtype)
    p, q = (extent - 2 for extent in plane.shape)
    even = np.pad(plane, ((0, p % 2), (0, q % 2)))
    output = np.zeros((p + p % 2, q + q % 2), plane.dtype)
    u = of_taps @ kernel @ of_taps.T
    for i, j in np.ndindex(len(output) // 2, output.shape[1] // 2):
        tile = of_pixels @ even[2 * i : 2 * i + 4, 2 * j : 2 * j + 4] @ of_pixels.T
        output[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = of_sums @ (u * tile) @ of_sums.T
    return output[:p, :q]


def by_products(add: Callable[[Products], ndarray]) -> Kernel:
    """A conv that adds up its products as `add` does, tap by tap."""

    def conv(input: ndarray, weight: ndarray, bias: Any, **params: Any) -> ndarray:
        groups, o = params.pop("groups"), len(weight)
        shape = conv_output(input.shape, weight.shape, **params)
        columns = im2col._columns(
            input, weight, (shape[2], shape[3]), params["stride"], params["padding"],
            params["dilation"], groups,
        )  # fmt: skip
        rows = weight.reshape(groups, o // groups, -1)
        taps = range(rows.shape[2])
        output = add([(rows[:, :, tap, None], columns[:, :, None, tap]) for tap in taps])
        output = output.reshape(shape)
        return output if bias is None else output + bias[:, None, None]

    return conv


def unrounded_in_reverse(products: Products) -> ndarray:
    """As fused multiply-adds: products are not rounded before they are added."""
    sums = np.zeros(1, products[0][0].dtype)
    for row, column in reversed(products):
        # float64 holds a product of two float32 exactly; float64 itself is merely rounded twice.
        sums = (sums + row.astype(np.float64) * column).astype(row.dtype)
    return sums


def in_reverse(products: Products) -> ndarray:
    return reduce(np.add, [row * column for row, column in reversed(products)])


def pairwise(products: Products) -> ndarray:
    """Halves added to halves, down to single products."""
    if len(products) == 1:
        return products[0][0] * products[0][1]
    half = len(products) // 2
    return pairwise(products[:half]) + pairwise(products[half:])


def with_threads(count: int, kernel: str) -> Kernel:
    """im2col's kernel on that many threads of BLAS."""
    right: Kernel = getattr(im2col, kernel)

    def compute(*arrays: Any, **params: Any) -> Any:
        with POOLS.limit(limits=count, user_api="blas"):
            return right(*arrays, **params)

    return compute


def by_torch(name: str) -> Kernel:
    """A kernel of a convolution by PyTorch in the arrays' own precision, autograd for gradients."""
    op = F.conv_transpose2d if name.startswith("conv_transpose") else F.conv2d
    direction = name.removeprefix("conv_transpose").removeprefix("conv")

    def kernel(*arrays: Any, padding: Any, **params: Any) -> ndarray:
        tensors = [None if a is None else torch.tensor(a).requires_grad_() for a in arrays]
        (top, bottom), (left, right) = padding
        if not direction:
            x, w, bias = tensors
        else:
            _, x, w = tensors
            bias = None
        if op is F.conv2d:
            output = op(F.pad(x, (left, right, top, bottom)), w, bias, **params)
        else:
            full = op(x, w, bias, **params)
            output = full[..., top : full.shape[2] - bottom, left : full.shape[3] - right]
        if direction:
            wrt = x if direction == "_grad_input" else w
            (output,) = torch.autograd.grad(output, wrt, torch.tensor(arrays[0]))
        found: ndarray = output.detach().contiguous().numpy()
        return found

    return kernel


def by_autograd(forward: Callable[..., Any], wrt: int | None = None) -> Kernel:
    """An op of PyTorch as a kernel; of the array number `wrt` its gradient."""

    def kernel(*arrays: Any, **params: Any) -> ndarray:
        inputs = arrays if wrt is None else arrays[1:]
        tensors = [None if a is None else torch.tensor(a).requires_grad_() for a in inputs]
        output = forward(*tensors, **params)
        if wrt is not None:
            (output,) = torch.autograd.grad(output, tensors[wrt], torch.tensor(arrays[0]))
        found: ndarray = output.detach().contiguous().numpy()
        return found

    return kernel


def _torch_pool(name: str, *arrays: Any, padding: Any, **params: Any) -> Any:
    """A pool of PyTorch, whose padding is as wide after as before."""
    return getattr(F, name)(*arrays, padding=tuple(before for before, _ in padding), **params)


def _torch_max_pool(input: ndarray, **params: Any) -> tuple[ndarray, ndarray]:
    pair = _torch_pool("max_pool2d", torch.tensor(input), return_indices=True, **params)
    return pair[0].numpy(), pair[1].numpy()


def _torch_scatter(dy: ndarray, input: ndarray, indices: ndarray, **params: Any) -> ndarray:
    planes = torch.zeros((*input.shape[:2], input[0, 0].size if len(input) else 0))
    given, places = torch.tensor(dy).flatten(2), torch.tensor(indices).flatten(2)
    summed = planes.to(given.dtype).scatter_add(2, places, given)
    found: ndarray = summed.reshape(input.shape).numpy()
    return found


def averaged_twice(input: ndarray) -> ndarray:
    """The mean of the means of rows."""
    return input.mean(axis=3).mean(axis=2)


def times_reciprocal(input: ndarray, **params: Any) -> ndarray:
    """avg_pool that multiplies by what it could divide by."""
    sums = im2col.avg_pool(input, **{**params, "divisor_override": 1})
    divisors = sins.divisors(input, sums, **params).astype(input.dtype)
    return sums * (1 / divisors)


RIGHTS = (
    Right("float64 inside, rounded once",
          all_around(lambda a: a.astype(np.float64), lambda y, dtype: y.astype(dtype))),
    Right("Fortran order inside",
          all_around(np.asfortranarray, lambda y, dtype: np.ascontiguousarray(y))),
    Right("one einsum over taps, pixels out of reach times 0", {
        name: bound(sins.by_taps(name), name) for name in sins.CONVOLUTIONS}, spreads_nan=True),
    Right("pools by windows", {
        "max_pool": bound(sins.largest_by(), "max_pool"),
        "avg_pool": bound(sins.averaged_at(sins.same), "avg_pool")}),
    Right("pools that divide last", {
        name: bound(commit, name) for name, commit in zip(
            ("avg_pool", "avg_pool_grad_input"), sins.divided_by(sins.divisors), strict=True)}),
    Right("fused multiply-adds, in reverse", {"conv": by_products(unrounded_in_reverse)}),
    Right("rounded products, in reverse", {"conv": by_products(in_reverse)}),
    Right("pairwise sums", {"conv": by_products(pairwise)}),
    *(Right(f"BLAS, threads: {count}", {name: with_threads(count, name) for name in (
        "conv", "conv_grad_input", "conv_grad_weight", "linear", "linear_grad_input",
        "linear_grad_weight")}) for count in (1, 4)),
    Right("scipy's correlate2d", {"conv": by_planes(correlated)}),
    Right("PyTorch", {
        **{name: by_torch(name) for name in sins.CONVOLUTIONS},
        "max_pool": _torch_max_pool, "max_pool_grad_input": _torch_scatter,
        "avg_pool": by_autograd(partial(_torch_pool, "avg_pool2d")),
        "avg_pool_grad_input": by_autograd(partial(_torch_pool, "avg_pool2d"), 0),
        "global_avg_pool": by_autograd(lambda x: x.mean((2, 3))),
        "global_avg_pool_grad_input": by_autograd(lambda x: x.mean((2, 3)), 0),
        "relu": by_autograd(F.relu), "relu_grad_input": by_autograd(F.relu, 0),
        "linear": by_autograd(F.linear), "linear_grad_input": by_autograd(F.linear, 0),
        "linear_grad_weight": by_autograd(F.linear, 1)}),
    Right("means of means, and reciprocals",
          {"global_avg_pool": averaged_twice, "avg_pool": times_reciprocal}),
    Right("relu by selection", {
        "relu": lambda x: np.where((x > 0) | np.isnan(x) | (x == 0), x, x.dtype.type(0))}),
    Right("FFT", {"conv": by_planes(by_fft)}, "transform"),
    Right("Winograd", {"conv": by_planes(by_winograd, (3, 3))}, "transform"),
)  # fmt: skip
