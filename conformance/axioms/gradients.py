"""What a gradient is, from the backend's own outputs: f, moved by an integer step, is exact.

A step of 1 has no truncation error where f is linear, or where no step changes which value a
window or relu takes; sums of integers round nowhere. So finite differences are equal to the
gradient, not near it. Elements whose steps change different outputs are moved together.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy import ndarray

from conformance import inputs
from conformance.axioms.trial import MOST_MACS, Equation, Trial
from impls.spec.plan import Shape

# Where steps at all elements would take more than MOST_MACS, random ones stand for them.
LEAST_STEPS = 6
# Values lie this far apart, so that a step of 1 changes no order.
GAP = 3


def adjoint(trial: Trial) -> Iterator[Equation]:
    """<f(v) - f(0), grad_output> = <v, gradient>, for v in place of the array it belongs to."""
    grad_output, *operands = trial.arguments(trial.narrow)
    at = trial.op.directions.index(trial.direction) - 1
    gradient = trial.gradient(grad_output, *operands)
    moved = trial.integers("moved", gradient.shape, trial.narrow)
    if at == len(operands):  # the bias
        change = trial.forward(*operands, moved) - trial.forward(*operands)
    else:
        change = trial.forward(*operands[:at], moved, *operands[at + 1 :])
    yield trial.dot(change, grad_output, moved, gradient)


def of_input(trial: Trial, lanes: int) -> Iterator[Equation]:
    """gradient[i] = <f(x + 1 at i) - f(x), grad_output>.

    lanes: leading axes of x whose elements change different outputs.
    """
    x, *others = trial.operands(inputs.NARROW)
    yield from _by_steps(trial, x, others, lanes)


def of_separated(trial: Trial, lanes: int) -> Iterator[Equation]:
    """gradient[i] = <f(x + 1 at i) - f(x), grad_output>, where no two values of x are near."""
    (x,) = trial.operands()
    order = np.random.default_rng(x.size).permutation(x.size).reshape(x.shape)
    apart = GAP * (order - x.size // 2) + 1  # on both sides of 0, and never there
    yield from _by_steps(trial, apart.astype(x.dtype), [], lanes)


def _by_steps(trial: Trial, x: ndarray, others: list[ndarray], lanes: int) -> Iterator[Equation]:
    grad_output = trial.grad_output(inputs.NARROW)
    gradient = trial.gradient(grad_output, x, *others)
    before, expected = trial.forward(x, *others), gradient.astype(np.float64)
    places = _places(trial, x.shape[lanes:])
    moved = [_stepped(x, (..., *place)) for place in places]
    if lanes:  # the first lane is the batch: all steps in one call
        after = trial.forward(np.concatenate(moved), *others).reshape(-1, *before.shape)
    else:
        after = np.stack([trial.forward(each, *others) for each in moved])
    changes = _changes(before, after, grad_output)
    sums = changes.sum(tuple(range(1 + lanes, changes.ndim)))
    for place, change in zip(places, sums, strict=True):
        expected[(..., *place)] = change
    yield _compared(trial, gradient, expected, grad_output)


def of_weight(trial: Trial) -> Iterator[Equation]:
    """gradient[o, i] = <f(x, w + 1 at o, i) - f(x, w), grad_output>."""
    (x, w), grad_output = trial.operands(inputs.NARROW), trial.grad_output(inputs.NARROW)
    gradient = trial.gradient(grad_output, x, w)
    before, expected = trial.forward(x, w), gradient.astype(np.float64)
    for place in _places(trial, w.shape[1:]):
        after = trial.forward(x, _stepped(w, (slice(None), *place)))
        expected[:, *place] = _per_output(_changes(before, after, grad_output))
    yield _compared(trial, gradient, expected, grad_output)


def of_transposed_weight(trial: Trial) -> Iterator[Equation]:
    """gradient[c, o, i] = <f(x, w + 1 at c, o, i) - f(x, w), grad_output>."""
    (x, w), grad_output = trial.operands(inputs.NARROW), trial.grad_output(inputs.NARROW)
    gradient = trial.gradient(grad_output, x, w)
    before, expected = trial.forward(x, w), gradient.astype(np.float64)
    count = trial.params["groups"]
    for c, r, s in _places(trial, (w.shape[0], *w.shape[2:])):
        after = trial.forward(x, _stepped(w, (c, slice(None), r, s)))
        sums = _per_output(_changes(before, after, grad_output)).reshape(count, -1)
        expected[c, :, r, s] = sums[c // (w.shape[0] // count)]
    yield _compared(trial, gradient, expected, grad_output)


def of_bias(trial: Trial) -> Iterator[Equation]:
    """gradient[o] = <f(x, w, b + 1 at o) - f(x, w, b), grad_output>."""
    operands, grad_output = trial.operands(inputs.NARROW), trial.grad_output(inputs.NARROW)
    b = trial.bias(inputs.NARROW)
    before, after = trial.forward(*operands, b), trial.forward(*operands, b + 1)
    expected = _per_output(_changes(before, after, grad_output))
    yield _compared(trial, trial.gradient(grad_output, *operands), expected, grad_output)


def _places(trial: Trial, shape: Shape) -> list[Any]:
    """Where to step: everywhere, or at random places where that would take too long."""
    places = list(np.ndindex(*shape))
    most = max(LEAST_STEPS, MOST_MACS // max(1, trial.op.macs(trial.plan)))
    if len(places) <= most:
        return places
    chosen = np.random.default_rng(len(places)).permutation(len(places))[:most]
    return [places[number] for number in chosen]


def _stepped(array: ndarray, place: Any) -> ndarray:
    stepped = array.copy()
    stepped[place] += 1
    return stepped


def _changes(before: ndarray, after: ndarray, grad_output: ndarray) -> ndarray:
    return (after.astype(np.float64) - before) * grad_output


def _per_output(changes: ndarray) -> ndarray:
    """Sums for each output channel."""
    return changes.sum(tuple(axis for axis in range(changes.ndim) if axis != 1))


def _compared(trial: Trial, gradient: ndarray, expected: ndarray, grad_output: ndarray) -> Equation:
    return Equation(trial.what, gradient, expected, factor=float(np.abs(grad_output).sum()) + 1)
