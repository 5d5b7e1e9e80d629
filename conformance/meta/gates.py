"""Ways a gate can sin: what stands in place of a right method of the gate in faulty backends.

A sin is a function `sin(right, **given)`, given the right method and every argument of a call by
its name, as the caller wrote it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from conformance.meta.sins import Sin

Given = dict[str, Any]


def handing(change: Callable[[Given], Given]) -> Sin:
    """The right answer to other arguments."""
    return lambda right, **given: right(**{**given, **change(given)})


def arrays_as(change: Callable[[ndarray], ndarray]) -> Sin:
    """The right answer to other arrays."""
    return handing(lambda given: {n: change(a) for n, a in given.items() if isinstance(a, ndarray)})


def one_for_another(name: str, other: str) -> Sin:
    """Two arguments handed over in the wrong order."""
    return handing(lambda given: {name: given[other], other: given[name]})


def turned(name: str) -> Sin:
    """A pair handed over from its end: (width, height)."""
    return handing(lambda given: {name: given[name][::-1] if is_pair(given[name]) else given[name]})


def is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2


def before_and_after(given: Given) -> Given:
    """Two paddings, one per axis, read as (before, after) of both axes."""
    padding = given["padding"]
    is_per_axis = is_pair(padding) and not any(map(is_pair, padding))
    return {"padding": (padding, padding)} if is_per_axis else {}


def one_for_no_stride(given: Given) -> Given:
    return {"stride": 1} if given["stride"] in (None, ()) else {}


def rows_alone(given: Given) -> Given:
    """A one-element sequence read as the rows' stride."""
    stride = given["stride"]
    is_one = isinstance(stride, Sequence) and len(stride) == 1
    return {"stride": (*stride, 1)} if is_one else {}


def odd_pixel_first(given: Given) -> Given:
    """Same padding whose odd pixel comes before the image."""
    if given["padding"] != "same":
        return {}
    spread = np.broadcast_to(given["dilation"], 2)
    reach = [int(d) * (k - 1) for d, k in zip(spread, given["weight"].shape[2:], strict=True)]
    return {"padding": tuple((total - total // 2, total // 2) for total in reach)}


def as_in_memory(array: ndarray) -> ndarray:
    """A view taken for the first elements of its memory."""
    if array.flags.c_contiguous or array.base is None:
        return array
    memory = np.ravel(array.base, order="K")
    return memory[: array.size].reshape(array.shape) if memory.size >= array.size else array


def as_channels_last(array: ndarray) -> ndarray:
    """One channel taken for channels last, whatever lies behind: height and width exchanged."""
    if array.ndim != 4 or array.shape[1] != 1 or array.flags.c_contiguous:
        return array
    return np.ravel(array, order="F").reshape(array.shape)


def forgiving(words: str) -> Sin:
    """Wrong calls answered, where the gate's own message would hold these words."""

    def commit(right: Any, **given: Any) -> Any:
        try:
            return right(**given)
        except (ValueError, TypeError) as error:
            if words in str(error):
                return np.zeros(1)
            raise

    return commit


def telling(change: Callable[[Exception], Exception]) -> Sin:
    """Wrong calls refused in another way."""

    def commit(right: Any, **given: Any) -> Any:
        try:
            return right(**given)
        except (ValueError, TypeError) as error:
            raise change(error) from None

    return commit


def floats(given: Given) -> Given:
    """Integers taken for what they count, but indices."""
    return {
        name: value.astype(np.float64)
        for name, value in given.items()
        if isinstance(value, ndarray) and value.dtype.kind in "iu" and name != "indices"
    }


def widest(given: Given) -> Given:
    """Arrays of several dtypes brought to one."""
    found = {name: array for name, array in given.items() if isinstance(array, ndarray)}
    dtype = np.result_type(*found.values())
    return {name: array.astype(dtype) for name, array in found.items()}


def spoiling(right: Any, **given: Any) -> Any:
    """The caller's first array is left changed."""
    answer = right(**given)
    first = next(iter(given.values()))
    if first.flags.writeable:
        first *= 2
    return answer


def in_double(answer: Any) -> Any:
    """An answer in float64, whatever was asked; of several arrays each."""
    if isinstance(answer, tuple):
        return tuple(map(in_double, answer))
    return answer if answer is None or answer.dtype.kind == "i" else answer.astype(np.float64)


def keeping_the_batch(right: Any, *, input: ndarray, **given: Any) -> Any:
    """One image, given without a batch axis, is answered with one."""
    answer = right(input=input, **given)
    if input.ndim > 3:
        return answer
    return tuple(part[None] for part in answer) if isinstance(answer, tuple) else answer[None]


def refusing_no_images(right: Any, *, input: Any, **given: Any) -> Any:
    if np.ndim(input) and not len(input):
        raise ValueError("input must hold an image")
    return right(input=input, **given)


def unmasked(right: Any, *, output_mask: Any, **given: Any) -> Any:
    """Every gradient, wanted or not."""
    return right(**given)


turned_mask = handing(lambda given: {"output_mask": given["output_mask"][::-1]})


def handed_through(right: Any, *, input: Any) -> Any:
    """The caller's own array where nothing is to be done."""
    output = right(input=input)
    return input if (input > 0).all() else output
