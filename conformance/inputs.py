"""What backends are given: arrays filled by name and seed, and laid out in memory.

exact   random integers in [-4, 4]: every sum of products is exact in any order
wide    random integers as wide as the number of terms allows: exact, unless done in fewer bits
real    standard normal values
special NaN, infinities, both zeros, subnormals and ties among the integers
minus   -inf almost everywhere
"""

from math import isqrt

import numpy as np
from numpy import ndarray

from impls.spec.case import seed
from impls.spec.plan import Plan, Shape
from impls.spec.shapes import window_starts

NARROW = 4
LAYOUTS = ("contiguous", "transposed", "strided", "reversed", "broadcast", "readonly")
# Largest integers up to which every one has a float of its own.
EXACT_BITS = {"float32": 24, "float64": 53}
# The small ones are subnormal: in float32, in float64.
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 1e-310, -1e-310, *range(-4, 5))


def arrays(
    filling: str, shapes: tuple[Shape, ...], dtype: str, name: str, width: int
) -> list[ndarray]:
    """One array per shape, the same for the same name in every process.

    width: largest integer of the "wide" filling.
    """
    rng = np.random.default_rng(filling_seed(filling, name))
    return [_filled(filling, shape, rng, width).astype(dtype) for shape in shapes]


def filling_seed(filling: str, name: str) -> int:
    """What a generator starts from, which then fills one array after the other."""
    return seed(f"{name} {filling}")


def widest(terms: int, dtype: str, *, products: bool) -> int:
    """The largest w for which terms + 1 summands (a bias is one) stay exact in `dtype`.

    products: the summands are products of two values up to w, else single values.
    """
    limit = 2 ** EXACT_BITS[dtype] // (terms + 1)
    return max(1, isqrt(limit) if products else limit)


def laid_out(array: ndarray, layout: str) -> ndarray:
    """An array of equal values that lies in memory as `layout` says.

    "broadcast" alone changes values: what is one column in memory is read as all columns.
    """
    match layout:
        case "contiguous":
            return array.copy()
        case "transposed":
            return np.ascontiguousarray(array.T).T
        case "strided":
            # What lies between the elements is NaN, or no index: whoever reads it shows it.
            gap = -1 if array.dtype.kind == "i" else np.nan
            apart = np.full(tuple(2 * extent for extent in array.shape), gap, array.dtype)
            view = apart[(slice(None, None, 2),) * array.ndim]
            view[...] = array
            return view
        case "reversed":
            flip = (slice(None, None, -1),) * array.ndim
            return array[flip].copy()[flip]
        case "broadcast":
            return np.broadcast_to(array[..., :1].copy(), array.shape)
        case "readonly":
            copy = array.copy()
            copy.flags.writeable = False
            return copy
        case _:
            raise ValueError(f"layout={layout!r} must be one this function knows")


def smallest_places(plan: Plan, input: ndarray) -> ndarray:
    """Indices of the smallest value of each window of a max-pool: valid, other than its own."""
    values, places = windows(plan, input)
    smallest = values.argmin(-1)[..., None]
    found = np.take_along_axis(np.broadcast_to(places, values.shape), smallest, -1)
    return found[..., 0]


def windows(plan: Plan, input: ndarray) -> tuple[ndarray, ndarray]:
    """(values, places) of each window of a max-pool: (..., P, Q, taps) and (P, Q, taps).

    places: indices into the plane. A tap outside the image stands for the nearest one inside.
    """
    rows, columns = (_inside(plan, axis) for axis in (0, 1))
    i, j = rows[:, None, :, None], columns[None, :, None, :]
    places = (i * input.shape[-1] + j).reshape(len(rows), len(columns), -1)
    values = input[..., i, j]
    return values.reshape(*input.shape[:-2], *places.shape), places


def _inside(plan: Plan, axis: int) -> ndarray:
    """(windows, taps): the coordinates of each window's taps along one axis, all inside."""
    size, spread = plan.shape("input")[2 + axis], plan.params["dilation"][axis]
    stride, padding = plan.params["stride"][axis], plan.params["padding"][axis]
    starts = window_starts(plan.output[2 + axis], stride, padding)[:, None]
    taps = np.arange(plan.params["kernel_size"][axis])
    first, last = -(np.minimum(starts, 0) // spread), (size - 1 - starts) // spread
    return starts + spread * taps.clip(first, last)


def _filled(filling: str, shape: Shape, rng: np.random.Generator, width: int) -> ndarray:
    match filling:
        case "exact":
            return _integers(shape, rng, NARROW)
        case "wide":
            return _integers(shape, rng, width)
        case "real":
            return rng.standard_normal(shape)
        case "special":
            return rng.choice(SPECIAL, shape)
        case "minus":
            return np.where(rng.random(shape) < 0.1, _integers(shape, rng, NARROW), -np.inf)
        case _:
            raise ValueError(f"filling={filling!r} must be one this function knows")


def _integers(shape: Shape, rng: np.random.Generator, width: int) -> ndarray:
    """Integers in [-width, width]; half of the zeros are -0.0."""
    values = rng.integers(-width, width, shape, endpoint=True).astype(np.float64)
    negative = (values == 0) & (rng.random(shape) < 0.5)
    return np.where(negative, -0.0, values)
