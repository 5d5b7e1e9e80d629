"""What holds of pools: every window on its own, by slices of the image."""

from collections.abc import Iterator

import numpy as np
from numpy import ndarray

from conformance import inputs
from conformance.axioms.convolutions import visited
from conformance.axioms.trial import Equation, Fillings, Trial
from impls.spec.op import FORWARD

# ------------------------------------------------------------------------------------ max_pool2d


def largest(trial: Trial, fillings: Fillings) -> Iterator[Equation]:
    """max_pool(x) >= x at each tap, and = x at its index; both with indices and without."""
    for filling in fillings:
        x = trial.drawn(filling, "input", trial.plan.shape("input"))
        output, indices = _pooled(trial, x)
        values, _ = inputs.windows(trial.plan, x)
        yield _in_plane(x, indices)
        yield Equation("output", output + 0, values.max(-1) + 0)  # the index says which zero
        yield Equation("output", output, _at(x, indices))
        yield Equation("output alone", trial.forward(x), output)


def first_place(trial: Trial, fillings: Fillings) -> Iterator[Equation]:
    """indices = the first place in each window that equals max_pool(x), or its last NaN."""
    for filling in fillings:
        x = trial.drawn(filling, "input", trial.plan.shape("input"))
        output, indices = _pooled(trial, x)
        values, places = inputs.windows(trial.plan, x)
        last_nan = np.where(np.isnan(values), places, -1).max(-1)
        first = np.where(values == output[..., None], places, x[0, 0].size).min(-1)
        yield Equation("indices", indices, np.where(last_nan >= 0, last_nan, first))


def monotone(trial: Trial) -> Iterator[Equation]:
    """max_pool(3 x + 2) = 3 max_pool(x) + 2, at the same indices."""
    x = trial.drawn("exact", "input", trial.plan.shape("input"))
    output, indices = _pooled(trial, x)
    moved, same = _pooled(trial, 3 * x + 2)
    yield Equation("output", moved, 3 * output + 2)
    yield Equation("indices", same, indices)


def scattered(trial: Trial, fillings: Fillings) -> Iterator[Equation]:
    """gradient = grad_output, each element added at its index: max_pool's own, or the caller's."""
    for filling in fillings:
        x = trial.drawn(filling, "input", trial.plan.shape("input"))
        grad_output = trial.grad_output()
        _, indices = _pooled(trial, x)
        yield _in_plane(x, indices)
        yield Equation(trial.what, trial.gradient(grad_output, x), _added(x, indices, grad_output))
        others = inputs.smallest_places(trial.plan, x)
        given = trial.gradient(grad_output, x, indices=others)
        yield Equation(f"{trial.what} of other indices", given, _added(x, others, grad_output))


def _pooled(trial: Trial, x: ndarray) -> tuple[ndarray, ndarray]:
    """(output, indices)."""
    output, indices = trial.call(trial.op.name, x, **trial.params, return_indices=True)
    return output, indices


def _in_plane(x: ndarray, indices: ndarray) -> Equation:
    return Equation("indices", indices, indices.clip(0, x[0, 0].size - 1))


def _at(x: ndarray, indices: ndarray) -> ndarray:
    """The pixels at indices into each plane."""
    found = np.take_along_axis(x.reshape(*x.shape[:2], -1), indices.reshape(*x.shape[:2], -1), -1)
    return found.reshape(indices.shape)


def _added(x: ndarray, indices: ndarray, grad_output: ndarray) -> ndarray:
    """Planes like x's, with each element of grad_output added at its index."""
    planes = np.zeros((x.shape[0] * x.shape[1], x[0, 0].size), x.dtype)
    number = np.arange(len(planes))[:, None]
    np.add.at(
        planes, (number, indices.reshape(len(planes), -1)), grad_output.reshape(len(planes), -1)
    )
    return planes.reshape(x.shape)


# ------------------------------------------------------------------------------------ avg_pool2d


def sums(trial: Trial) -> Iterator[Equation]:
    """avg_pool(x) = sum of x over each window / divisor."""
    (x,) = trial.operands()
    yield Equation("output", trial.forward(x), _summed(trial, x) / _divisors(trial))


def constants(trial: Trial) -> Iterator[Equation]:
    """avg_pool(c) = c * taps inside the image / divisor."""
    (x,) = trial.operands()
    constant = np.full_like(x, trial.width)
    answer, expected = trial.forward(constant), trial.width * visited(trial) / _divisors(trial)
    yield Equation("output", answer, np.broadcast_to(expected, answer.shape))


def as_convolution(trial: Trial) -> Iterator[Equation]:
    """avg_pool(x) * divisor = conv(x, ones, groups=channels)."""
    (x,) = trial.operands()
    ones = np.ones((x.shape[1], 1, *trial.params["kernel_size"]), x.dtype)
    stride = trial.params["stride"]
    convolved = trial.call(
        "conv2d", x, ones, stride=stride, padding=_reach(trial), groups=x.shape[1]
    )
    yield Equation("output", trial.forward(x), convolved / _divisors(trial))


def counted(trial: Trial) -> Iterator[Equation]:
    """f(ones, divisor 1) = taps inside the image, or of a gradient windows that see the pixel."""
    ones = [np.ones_like(array) for array in trial.arguments()]
    answer = trial.answer(*ones, divisor_override=1)
    yield Equation(trial.what, answer, np.broadcast_to(visited(trial), answer.shape))


def _divisors(trial: Trial) -> ndarray:
    assert trial.op.divisors is not None
    return trial.op.divisors(trial.plan)


def _reach(trial: Trial) -> tuple[tuple[int, int], ...]:
    """Zeros around the image, as far as the last windows reach; ceil_mode's overhang too."""
    margins = []
    for axis in (0, 1):
        step, size = trial.params["stride"][axis], trial.params["kernel_size"][axis]
        before, extent = trial.params["padding"][axis], trial.plan.shape("input")[2 + axis]
        end = (trial.plan.output[2 + axis] - 1) * step + size
        margins.append((before, max(0, end - before - extent)))
    return tuple(margins)


def _summed(trial: Trial, x: ndarray) -> ndarray:
    """The sum over each window, tap by tap."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *_reach(trial)))
    (rows, columns), (_, _, p, q) = trial.params["stride"], trial.plan.output
    slices = (
        padded[:, :, r : r + (p - 1) * rows + 1 : rows, s : s + (q - 1) * columns + 1 : columns]
        for r, s in np.ndindex(*trial.params["kernel_size"])
    )
    return np.add.reduce(list(slices))


# ----------------------------------------------------------------------------- global_avg_pool2d


def mean(trial: Trial) -> Iterator[Equation]:
    """global_avg_pool(x) = sum of x over each plane / its pixels."""
    (x,) = trial.operands()
    sums = x.sum((2, 3), dtype=np.float64)
    yield Equation("output", trial.forward(x), sums / _divisors(trial))


def mean_of_constants(trial: Trial) -> Iterator[Equation]:
    """global_avg_pool(c) = c, and its gradient for ones = 1 / pixels everywhere."""
    ones = [np.ones_like(array) for array in trial.arguments()]
    answer = trial.answer(*ones)
    value = 1.0 if trial.direction == FORWARD else 1 / _divisors(trial)
    yield Equation(trial.what, answer, np.broadcast_to(np.float64(value), answer.shape))
