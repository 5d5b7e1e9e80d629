"""What holds of relu, and of image_to_patches, which only moves elements."""

from collections.abc import Iterator

import numpy as np
from numpy import ndarray

from conformance import inputs
from conformance.axioms.trial import Equation, Fillings, Trial

# ------------------------------------------------------------------------------------------ relu


def odd_part(trial: Trial, fillings: Fillings) -> Iterator[Equation]:
    """relu(x) - relu(-x) = x, signs of zero included."""
    for filling in fillings:
        x = _drawn(trial, filling)
        yield Equation("output", trial.forward(x) - trial.forward(-x), x)


def even_part(trial: Trial, fillings: Fillings) -> Iterator[Equation]:
    """relu(x) + relu(-x) = |x|, and relu(relu(x)) = relu(x)."""
    for filling in fillings:
        x = _drawn(trial, filling)
        output = trial.forward(x)
        yield Equation("output", output + trial.forward(-x), np.abs(x))
        yield Equation("output", trial.forward(output), output)


def gate(trial: Trial, fillings: Fillings) -> Iterator[Equation]:
    """gradient = grad_output where relu(x) is not 0, else 0."""
    for filling in fillings:
        x, grad_output = _drawn(trial, filling), _drawn(trial, filling, "grad_output")
        expected = np.where(trial.forward(x) != 0, grad_output, 0)
        yield Equation(trial.what, trial.gradient(grad_output, x), expected)


def _drawn(trial: Trial, filling: str, name: str = "input") -> ndarray:
    width = inputs.widest(1, trial.dtype, products=False)
    return trial.drawn(filling, name, trial.plan.shape("input"), width)


# ------------------------------------------------------------------------------ image_to_patches


def slices(trial: Trial) -> Iterator[Equation]:
    """image_to_patches(x)[k] = x in the k-th square, flattened; squares run row by row."""
    x = _distinct(trial)
    size = trial.params["patch_size"]
    corners = np.ndindex(x.shape[0] // size, x.shape[1] // size)
    squares = [x[size * i : size * (i + 1), size * j : size * (j + 1)] for i, j in corners]
    yield Equation("output", trial.forward(x), np.stack([square.ravel() for square in squares]))


def inverse(trial: Trial) -> Iterator[Equation]:
    """gradient of image_to_patches(x) = x: every element once, where it was taken from."""
    x = _distinct(trial)
    yield Equation(trial.what, trial.gradient(trial.forward(x), x), x)


def _distinct(trial: Trial) -> ndarray:
    """An image of which no two elements are equal."""
    shape = trial.plan.shape("image")
    order = np.random.default_rng(len(trial.case.id)).permutation(int(np.prod(shape)))
    return (order.reshape(shape) - 7.5).astype(trial.dtype)
