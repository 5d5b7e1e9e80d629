"""What holds of conv2d, conv_transpose2d and linear: f of input x, weight w and bias b.

Padding, dilation, stride, groups and channels are taken away one at a time; what is left is
linear in w, and a w of single taps only moves x: that says what every output is.
"""

from collections.abc import Iterator

import numpy as np
from numpy import ndarray

from conformance import inputs
from conformance.axioms.trial import Equation, Trial
from impls.spec.shapes import window_starts

# Calls with a w of single taps; each asks one tap of every output channel.
MOST_CALLS = 12
NOTHING = ((0, 0), (0, 0))


def bias(trial: Trial) -> Iterator[Equation]:
    """f(x, w, b) = f(x, w) + b."""
    operands, added = trial.operands(), trial.bias()
    without = trial.forward(*operands)
    expected = without + added.reshape(-1, *(1,) * (without.ndim - 2))
    yield Equation("output", trial.forward(*operands, added), expected)


def groups(trial: Trial) -> Iterator[Equation]:
    """f(x, w, groups=g) = f of each group's channels and weights, side by side."""
    x, w = trial.operands()
    count = trial.params["groups"]
    pairs = zip(np.split(x, count, 1), np.split(w, count), strict=True)
    expected = [trial.forward(part.copy(), own, groups=1) for part, own in pairs]
    yield Equation("output", trial.forward(x, w), np.concatenate(expected, 1))


def channels(trial: Trial, axis: int = 1) -> Iterator[Equation]:
    """f(x, w) = f(half of each group's channels) + f(the other half)."""
    x, w = trial.operands()
    depth = x.shape[1] // trial.params.get("groups", 1)
    first = np.arange(x.shape[1]) % depth < depth // 2
    parts = []
    for half in (first, ~first):
        # The weight's inputs: those of one group on axis 1, or those of all groups on axis 0.
        kept = half if axis == 0 else half[:depth]
        parts.append(trial.forward(x[:, half], np.compress(kept, w, axis)))
    yield Equation("output", trial.forward(x, w), parts[0] + parts[1])


def dilation(trial: Trial) -> Iterator[Equation]:
    """f(x, w, dilation=d) = f(x, w with d - 1 zeros between its taps)."""
    x, w = trial.operands()
    sparse = _apart(w, trial.params["dilation"])
    yield Equation("output", trial.forward(x, w), trial.forward(x, sparse, dilation=1))


def _apart(array: ndarray, steps: tuple[int, int]) -> ndarray:
    """Zeros between the rows and columns."""
    extents = ((size - 1) * step + 1 for size, step in zip(array.shape[2:], steps, strict=True))
    spread = np.zeros((*array.shape[:2], *extents), array.dtype)
    spread[:, :, :: steps[0], :: steps[1]] = array
    return spread


def visits(trial: Trial) -> Iterator[Equation]:
    """f(ones) = how many products meet in each element: of window, tap and pixel."""
    arrays = [np.ones_like(array) for array in trial.arguments()]
    counts = visited(trial)
    _, outputs, *_ = trial.plan.output
    size, inputs_, *_ = trial.plan.shape("input")
    count = trial.params["groups"]
    depth = {
        "forward": inputs_ // count, "grad_input": outputs // count, "grad_weight": size,
    }[trial.direction]  # fmt: skip
    answer = trial.answer(*arrays)
    yield Equation(trial.what, answer, np.broadcast_to(depth * counts, answer.shape))


def visited(trial: Trial) -> ndarray:
    """How often windows, taps and pixels meet, per element of the answer's plane."""
    meeting = [_meeting(trial, axis) for axis in (0, 1)]
    is_transposed = "output_padding" in trial.params
    kept = {"forward": 2 * is_transposed, "grad_weight": 1, "grad_input": 2 * (not is_transposed)}
    others = tuple(axis for axis in (0, 1, 2) if axis != kept[trial.direction])
    return np.outer(*(places.sum(others) for places in meeting))


def _meeting(trial: Trial, axis: int) -> ndarray:
    """(window, tap, pixel) along one axis: whether they meet."""
    plan, params = trial.plan, trial.plan.params
    windows, image = plan.output, plan.shape("input")
    if "output_padding" in params:  # runs from its output back to its input
        windows, image = image, windows
    kernel = params["kernel_size"] if "kernel_size" in params else plan.shape("weight")[2:]
    starts = window_starts(windows[2 + axis], params["stride"][axis], params["padding"][axis])
    spread = params.get("dilation", (1, 1))[axis]
    places: ndarray = starts[:, None, None] + spread * np.arange(kernel[axis])[:, None]
    return places == np.arange(image[2 + axis])


# --------------------------------------------------------------------------------------- conv2d


def padding(trial: Trial) -> Iterator[Equation]:
    """conv(x, w, padding=p) = conv(x with p zeros around it, w)."""
    x, w = trial.operands()
    padded = np.pad(x, (*NOTHING, *trial.params["padding"]))
    yield Equation("output", trial.forward(x, w), trial.forward(padded, w, padding=0))


def stride(trial: Trial) -> Iterator[Equation]:
    """conv(x, w, stride=s) = every s-th place of conv(x, w)."""
    x, w = trial.operands()
    rows, columns = trial.params["stride"]
    dense = trial.forward(x, w, stride=1)
    yield Equation("output", trial.forward(x, w), dense[:, :, ::rows, ::columns])


def translation(trial: Trial) -> Iterator[Equation]:
    """conv(x moved by the stride, w) = conv(x, w) moved by one place."""
    x, w = trial.operands()
    rows, columns = trial.params["stride"]
    x[:, :, -rows:], x[..., -columns:] = 0, 0  # nothing falls off the edge
    moved = trial.forward(np.roll(x, (rows, columns), (2, 3)), w)
    yield Equation("output", moved[:, :, 1:, 1:], trial.forward(x, w)[:, :, :-1, :-1])


def taps(trial: Trial) -> Iterator[Equation]:
    """conv(x, 1 at tap r, s of channel c) = x of channel c, as tap r, s of each window reads it."""
    x, count = _moved(trial), trial.params["groups"]
    outputs, depth, *_ = shape = trial.plan.shape("weight")
    padded = np.pad(x, (*NOTHING, *trial.params["padding"]))
    for chosen in _single(shape[1:], outputs):
        c, r, s = np.unravel_index(chosen, shape[1:])
        w = np.zeros(shape, x.dtype)
        w[np.arange(outputs), c, r, s] = 1
        c += np.arange(outputs) // (outputs // count) * depth
        expected = [_read(trial, padded[:, at[0]], at[1:]) for at in zip(c, r, s, strict=True)]
        yield Equation("output", trial.forward(x, w), np.stack(expected, 1))


def _moved(trial: Trial) -> ndarray:
    """An input as wide as integers can be, that nothing is added to."""
    width = inputs.widest(1, trial.dtype, products=False)
    return trial.integers("input", trial.plan.shape("input"), width)


def _single(kernel: tuple[int, ...], outputs: int) -> Iterator[ndarray]:
    """For each call a tap per output, as indices into a kernel: all taps in turn, or MOST_CALLS."""
    order = np.random.default_rng(outputs).permutation(int(np.prod(kernel)))
    for call in range(min(MOST_CALLS, -(-len(order) // outputs))):
        yield order[(call * outputs + np.arange(outputs)) % len(order)]


def _read(trial: Trial, padded: ndarray, tap: tuple[int, int]) -> ndarray:
    """What one tap of each window reads of padded planes."""
    return padded[:, *_places(trial, tap, trial.plan.output)]


def _places(trial: Trial, tap: tuple[int, int], windows: tuple[int, ...]) -> tuple[slice, ...]:
    """Rows and columns of a padded plane where one tap of each window lies."""
    params = trial.params
    return tuple(
        slice(at * spread, at * spread + (count - 1) * step + 1, step)
        for at, spread, count, step in zip(
            tap, params["dilation"], windows[2:], params["stride"], strict=True
        )
    )


# ----------------------------------------------------------------------------- conv_transpose2d


def cropping(trial: Trial) -> Iterator[Equation]:
    """conv_transpose(x, w, padding=p) = conv_transpose(x, w) without its p outer places."""
    x, w = trial.operands()
    (top, bottom), (left, right) = trial.params["padding"]
    full = trial.forward(x, w, padding=0)
    cropped = full[:, :, top : full.shape[2] - bottom, left : full.shape[3] - right]
    yield Equation("output", trial.forward(x, w), cropped)


def output_padding(trial: Trial) -> Iterator[Equation]:
    """conv_transpose(x, w, output_padding=e) = e places more at the end, before padding crops."""
    x, w = trial.operands()
    (top, bottom), (left, right) = trial.params["padding"]
    more = ((0, extra) for extra in trial.params["output_padding"])
    full = np.pad(trial.forward(x, w, padding=0, output_padding=0), (*NOTHING, *more))
    cropped = full[:, :, top : full.shape[2] - bottom, left : full.shape[3] - right]
    yield Equation("output", trial.forward(x, w), cropped)


def insertion(trial: Trial) -> Iterator[Equation]:
    """conv_transpose(x, w, stride=s) = conv_transpose(x with s - 1 zeros between its pixels, w)."""
    x, w = trial.operands()
    spread = _apart(x, trial.params["stride"])
    yield Equation("output", trial.forward(x, w), trial.forward(spread, w, stride=1))


def transposed_translation(trial: Trial) -> Iterator[Equation]:
    """conv_transpose(x moved by one pixel, w) = conv_transpose(x, w) moved by the stride."""
    x, w = trial.operands()
    rows, columns = trial.params["stride"]
    x[:, :, -1:], x[..., -1:] = 0, 0  # nothing falls off the edge
    moved = trial.forward(np.roll(x, (1, 1), (2, 3)), w)
    expected = trial.forward(x, w)[:, :, :-rows, :-columns]
    yield Equation("output", moved[:, :, rows:, columns:], expected)


def spreading(trial: Trial) -> Iterator[Equation]:
    """conv_transpose(x, 1 at tap r, s of channel c) = channel c, put where tap r, s writes it."""
    x, count = _moved(trial), trial.params["groups"]
    depth, outputs = x.shape[1] // count, trial.plan.output[1]
    shape = trial.plan.shape("weight")
    group, own = np.divmod(np.arange(outputs), outputs // count)
    for chosen in _single((depth, *shape[2:]), outputs):
        c, r, s = np.unravel_index(chosen, (depth, *shape[2:]))
        c += group * depth
        w = np.zeros(shape, x.dtype)
        w[c, own, r, s] = 1
        expected = [_written(trial, x[:, at[0]], at[1:]) for at in zip(c, r, s, strict=True)]
        yield Equation("output", trial.forward(x, w), np.stack(expected, 1))


def _written(trial: Trial, planes: ndarray, tap: tuple[int, int]) -> ndarray:
    """An output with each pixel at the place of one tap, and zeros."""
    (top, bottom), (left, right) = trial.params["padding"]
    _, _, p, q = trial.plan.output
    full = np.zeros((len(planes), p + top + bottom, q + left + right), planes.dtype)
    full[:, *_places(trial, tap, trial.plan.shape("input"))] = planes
    return full[:, top : top + p, left : left + q]


def adjointness(trial: Trial) -> Iterator[Equation]:
    """<conv_transpose(x, w), y> = <x, conv(y, w)>."""
    x, w = trial.operands(trial.narrow)
    y = trial.grad_output(trial.narrow)
    params = {k: v for k, v in trial.params.items() if k != "output_padding"}
    # Where output_padding leaves room for a window more, no pixel of x is there.
    windows = trial.call("conv2d", y, w, **params)[:, :, : x.shape[2], : x.shape[3]]
    yield trial.dot(trial.forward(x, w), y, x, windows)


# --------------------------------------------------------------------------------------- linear


def features(trial: Trial) -> Iterator[Equation]:
    """linear(x, 1 at feature c) = feature c of x."""
    x = _moved(trial)
    outputs, depth = trial.plan.shape("weight")
    for chosen in _single((depth,), outputs):
        w = np.zeros((outputs, depth), x.dtype)
        w[np.arange(outputs), chosen] = 1
        yield Equation("output", trial.forward(x, w), x[:, chosen])
