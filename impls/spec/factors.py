"""Factors: what the calls of an operation vary in, so that calls can be made instead of written.

An op's record names its factors and how a choice of one value each becomes a call; the conformance
suite combines them in pairs and draws them at random (conformance/covering.py, random_calls.py).
"""

from dataclasses import dataclass
from typing import Any

from impls.spec.params import Pair, pair
from impls.spec.plan import Params, Shape

# A call as shapes and parameters, or ValueError for a choice that contradicts itself.
Call = tuple[tuple[Shape, ...], Params]
SMALL, PAIR = range(1, 4), (range(1, 4), range(1, 4))


@dataclass(frozen=True, slots=True)
class Factor:
    """One thing that calls vary in.

    levels: the values that are combined, the plainest first.
    drawn: of a random call, a range in place of each int; None: it has one of the levels.
    is_tail: an extent that vectors and tiles run along, so that what they leave over matters.
    """

    levels: tuple[Any, ...]
    drawn: Any = None
    is_tail: bool = False


UNBATCHED = "unbatched"
# Plain values differ from each other, so that a swap shows.
IMAGE = {
    "n": Factor((2, 1, 5, UNBATCHED), SMALL),
    "c": Factor((3, 2, 4), range(1, 6), is_tail=True),
    "rows": Factor((2, 1, 5), range(1, 6)),
    "columns": Factor((3, 2, 4), range(1, 8), is_tail=True),
}
WINDOW = {
    "kernel_size": Factor(((3, 2), (1, 1), (2, 4), (3, 3)), PAIR),
    "stride": Factor((1, 2, (2, 3), (5, 1)), PAIR),
    "dilation": Factor((1, 2, (2, 3)), PAIR),
}
# Of (rows, columns) that a stride leaves over.
REST = Factor(((0, 0), (1, 2)), (range(3), range(3)))
BIAS = Factor((True, False))


def call_on_image(n: Any, c: int, rows: int, columns: int) -> Call:
    """A call of an operation without parameters."""
    return (images(n, c, rows, columns),), {}


def images(n: Any, *image: int) -> Shape:
    """(n, C, H, W), or (C, H, W) for UNBATCHED."""
    return image if n == UNBATCHED else (n, *image)


def extents(
    counts: Pair, rest: Pair, *, kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1
) -> Pair:
    """The least (H, W) that give `counts` windows and leave `rest` pixels over, below stride.

    padding: (before, after) per axis.
    """
    taps = pair("kernel_size", kernel_size, at_least=1)
    steps, spread = pair("stride", stride, at_least=1), pair("dilation", dilation, at_least=1)
    left = [pixels % step for pixels, step in zip(rest, steps, strict=True)]
    if any(rest) and not any(left):
        raise ValueError(f"stride={stride!r} leaves no rest of {rest}")
    height, width = (
        (counts[a] - 1) * steps[a] + spread[a] * (taps[a] - 1) + 1 + left[a] - sum(pads)
        for a, pads in enumerate(padding)
    )
    check_meeting((height, width), counts, taps, steps, padding, spread)
    return height, width


def check_meeting(
    plane: Pair, counts: Pair, kernel_size: Pair, stride: Pair, padding: Any, dilation: Pair
) -> None:
    """Raise ValueError unless some window sees a pixel of the plane: else nothing is computed."""
    for axis, size in enumerate(plane):
        starts = range(
            -padding[axis][0], counts[axis] * stride[axis] - padding[axis][0], stride[axis]
        )
        taps = range(0, kernel_size[axis] * dilation[axis], dilation[axis])
        if not any(0 <= start + tap < size for start in starts for tap in taps):
            raise ValueError(
                f"kernel_size={kernel_size} must meet a pixel, but with padding={padding} and"
                f" stride={stride} sees none of {plane}"
            )
