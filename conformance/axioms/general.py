"""What holds of every op, and of every op that is linear.

f stands for the call of a trial: the op's output, or one gradient as a function of grad_output.
"""

from collections.abc import Iterator

import numpy as np
from numpy import ndarray

from conformance import inputs
from conformance.axioms.trial import Equation, Trial
from impls.spec.case import seed
from impls.spec.op import FORWARD
from impls.spec.plan import Shape

# By the number of factors: what makes products of narrow integers subnormal in float32.
SCALES = {1: 2.0**-135, 2: 2.0**-70}


def notation(trial: Trial) -> Iterator[Equation]:
    """f(case as written) = f(batched, contiguous, one value per axis), in the dtype given."""
    case, op = trial.case, trial.op
    drawn = trial.operands()
    operands = [*drawn, trial.bias()] if len(case.shapes) > len(drawn) else drawn
    shape = op.unbatched(case.shapes[0], trial.plan.output)
    written = [_written(trial, array, s) for array, s in zip(operands, case.shapes, strict=True)]
    plain = [_plain(*pair) for pair in zip(written, operands, strict=True)]
    if trial.direction == FORWARD:
        expected = trial.forward(*plain)
        actual = getattr(trial.backend, op.name)(*written, **case.params)
        yield Equation("output", actual, expected.reshape(shape), factor=2)
        yield _as_wide("output", actual, trial)
        return
    grad_output = _written(trial, trial.grad_output(), shape)
    method = getattr(trial.backend, f"{op.name}_backward")
    answers = method(grad_output, *written[: len(drawn)], **case.params)
    at = op.directions.index(trial.direction) - 1
    actual = answers[at] if isinstance(answers, tuple) else answers
    given = _plain(grad_output, trial.grad_output())
    expected = trial.gradient(given, *plain[: len(drawn)])
    yield Equation(trial.what, actual, expected.reshape(case.shapes[at]), factor=2)
    yield _as_wide(trial.what, actual, trial)


def _as_wide(what: str, actual: ndarray, trial: Trial) -> Equation:
    """An answer's elements are as wide as those it was given."""
    width = np.asarray(np.dtype(trial.dtype).itemsize)
    return Equation(f"{what}.itemsize", np.asarray(actual.itemsize), width, factor=0)


def _written(trial: Trial, array: ndarray, shape: Shape) -> ndarray:
    return inputs.laid_out(array.reshape(shape), trial.case.layout)


def _plain(written: ndarray, like: ndarray) -> ndarray:
    """The values as written (broadcast, they repeat), with a batch axis and contiguous."""
    return written.copy().reshape(like.shape)


def batch(trial: Trial) -> Iterator[Equation]:
    """f(images) = f(first image), f(the others); the gradients of weight and bias add up."""
    whole = trial.arguments()
    # Only the weight has no batch axis.
    count = 2 if trial.direction != FORWARD else 1
    parts = [
        trial.answer(*(array[images] for array in whole[:count]), *whole[count:])
        for images in (slice(0, 1), slice(1, None))
    ]
    summed = trial.direction in ("grad_weight", "grad_bias")
    expected = parts[0] + parts[1] if summed else np.concatenate(parts)
    yield Equation(trial.what, trial.answer(*whole), expected)


def no_images(trial: Trial) -> Iterator[Equation]:
    """f = 0: the gradient of weight and bias, where there is no image."""
    answer = trial.answer(*trial.arguments())
    yield Equation(trial.what, answer, np.zeros_like(answer))


def no_features(trial: Trial) -> Iterator[Equation]:
    """f = b where there is nothing to sum."""
    answer = trial.forward(*trial.operands(), trial.bias())
    yield Equation("output", answer, np.broadcast_to(trial.bias(), answer.shape))


def additive(trial: Trial) -> Iterator[Equation]:
    """f(a + b) = f(a) + f(b), in the input and in the weight, or in grad_output."""
    arrays = trial.arguments()
    for at in range(len(arrays) if trial.direction == FORWARD else 1):
        other = trial.integers("other", arrays[at].shape)

        def given(array: ndarray, at: int = at) -> ndarray:
            return trial.answer(*arrays[:at], array, *arrays[at + 1 :])

        expected = given(arrays[at]) + given(other)
        yield Equation(trial.what, given(arrays[at] + other), expected)


def scaling(trial: Trial) -> Iterator[Equation]:
    """f(2**-k a) = 2**-k f(a), down to the smallest subnormal number."""
    arrays = trial.arguments(inputs.NARROW)
    factors = 1 if trial.direction == "grad_bias" else min(2, len(trial.operands()))
    scale = SCALES[factors]
    small = [(array * scale).astype(trial.dtype) for array in arrays]
    expected = trial.answer(*arrays).astype(np.float64) * scale**factors
    yield Equation(trial.what, trial.answer(*small), expected)


def dye(trial: Trial, at: int = 0) -> Iterator[Equation]:
    """f(a, NaN or infinity at i) = it times f(1 at i) where that is not 0, else f(a).

    at: the number of the dyed array; the others hold 1 and -1, so that the largest finite number
    is seen not to be infinity. A transform may color the whole image.
    """
    arrays = trial.arguments()
    for number, array in enumerate(arrays):
        if number != at:
            arrays[number] = np.where(array < 0, array.dtype.type(-1), array.dtype.type(1))
    rng = np.random.default_rng(seed(trial.case.id))
    place = np.unravel_index(rng.integers(arrays[at].size), arrays[at].shape)

    def given(value: float, elsewhere: ndarray) -> ndarray:
        dyed = elsewhere.copy()
        dyed[place] = value
        return trial.answer(*arrays[:at], dyed, *arrays[at + 1 :])

    reached, plain = given(1, np.zeros_like(arrays[at])), trial.answer(*arrays)
    for value in (np.nan, np.inf):
        expected = np.where(reached != 0, np.sign(reached) * value, plain)
        actual = given(value, arrays[at])
        if not trial.is_direct:
            if trial.direction == "grad_weight":
                return  # it sums all images
            apart = np.arange(len(actual)) != place[0]
            actual, expected = actual[apart], expected[apart]
        yield Equation(trial.what, actual, expected)
