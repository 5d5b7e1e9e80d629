"""Where a result is wrong: a map of its worst plane in text, and the pattern in words."""

from itertools import combinations

import numpy as np
from numpy import ndarray

from conformance.verdict import Evidence

# What fits a terminal beside its prompt.
ROWS, COLUMNS = 8, 56
PLANE = ("row", "column")
# Widths of vectors: what is left after full ones is a known place of faults.
VECTORS = (16, 8, 4)
# A border may be so wide.
BORDERS = (1, 2, 3)


def drawing(evidence: Evidence) -> list[str]:
    """Lines: which plane, its map, which elements are wrong, and what they have in common."""
    wrong = np.atleast_1d(evidence.wrong)
    axes = _axes(evidence.what, wrong.ndim)
    return [
        *([] if wrong.all() else _map(evidence.what, wrong, axes)),
        f"where: {_places(wrong, axes)}",
        *(f"values: {words}" for words in [_values(evidence)] if words),
    ]


def _axes(what: str, rank: int) -> tuple[str, ...]:
    """Names of the axes of a result, each once; the plane is "row" by "column"."""
    if what == "grad_image":
        return ("row", "column", "channel")
    leading = ("axis 0", "axis 1") if what == "grad_weight" else ("image", "channel")
    match rank:
        case 1:
            return ("column",)
        case 2 | 3 | 4:
            return (*leading[4 - rank :], *PLANE)
    return (*(f"axis {axis}" for axis in range(rank - 2)), *PLANE)


# ------------------------------------------------------------------------------------- the map


def _map(what: str, wrong: ndarray, axes: tuple[str, ...]) -> list[str]:
    """The plane with the most wrong elements; a sign stands for a block where it is large."""
    inner = [axes.index(name) for name in PLANE if name in axes]
    outer = [axis for axis in range(wrong.ndim) if axis not in inner]
    planes = wrong.transpose(*outer, *inner)
    planes = planes.reshape(*planes.shape[: len(outer)], -1, planes.shape[-1])
    counts = planes.sum(axis=(-2, -1))
    place = np.unravel_index(counts.argmax(), counts.shape) if outer else ()
    plane = planes[place]
    blocks = [-(-extent // most) for extent, most in zip(plane.shape, (ROWS, COLUMNS), strict=True)]
    plane_of = f"{what}[{', '.join(map(str, place))}]" if outer else what
    which = f"; the worst of {counts.size} planes" if counts.size > 1 else ""
    scale = f", + in part, a sign is {blocks[0]} x {blocks[1]}" if max(blocks) > 1 else ""
    rows, columns = (range(0, n, block) for n, block in zip(plane.shape, blocks, strict=True))
    signs = [
        "".join(_sign(plane[i : i + blocks[0], j : j + blocks[1]]) for j in columns) for i in rows
    ]
    return [f"map: {plane_of}, # is wrong{scale}{which}", *(f"  {line}" for line in signs)]


def _sign(block: ndarray) -> str:
    return "#" if block.all() else "+" if block.any() else "."


# ------------------------------------------------------------------------------------- in words


def _places(wrong: ndarray, axes: tuple[str, ...]) -> str:
    """The region that all wrong elements lie in, and how much of it they fill."""
    words, region = {}, wrong.size
    for axis, name in enumerate(axes):
        hit = np.flatnonzero(wrong.any(axis=tuple(a for a in range(wrong.ndim) if a != axis)))
        if word := _indices(name, hit, wrong.shape[axis]):
            words[name] = word
            region = region // wrong.shape[axis] * len(hit)
    if "row" in axes and not words.keys() & set(PLANE):
        outer = tuple(axis for axis, name in enumerate(axes) if name not in PLANE)
        plane: ndarray = np.any(wrong, axis=outer)
        if border := _border(plane):
            words["plane"], size = border
            region = region // plane.size * size
    count = int(np.count_nonzero(wrong))
    if not words:
        return (
            f"{'everywhere' if 2 * count >= wrong.size else 'scattered'}, {count} of {wrong.size}"
        )
    share = "all of it" if count == region else f"{count} of the {region} there"
    return f"only in {', '.join(words.values())}; {share}"


def _indices(name: str, hit: ndarray, extent: int) -> str:
    """Which indices of one axis are hit, in words; "" for all, or for no pattern."""
    first, last = int(hit[0]), int(hit[-1])
    if len(hit) == extent:
        return ""
    if len(hit) == last - first + 1:
        if last < extent - 1:
            return f"{name} {first}" if first == last else f"{name}s {first} to {last}"
        tail = f"the last {name}, {first}" if first == last else f"{name}s from {first}"
        width = next((vector for vector in VECTORS if first and first % vector == 0), None)
        return f"{tail} (a multiple of {width})" if width else tail
    if len(hit) == extent - 1:
        missing = int(np.setdiff1d(np.arange(extent), hit)[0])
        return f"every {name} but {missing}"
    steps = np.unique(np.diff(hit))
    if len(steps) == 1 and first < steps[0] and last + steps[0] >= extent:
        ordinal = {2: "second", 3: "third"}.get(int(steps[0]), f"{steps[0]}th")
        return f"every {ordinal} {name} from {first}"
    return f"{name}s {', '.join(map(str, hit))}" if len(hit) <= 3 else ""


def _border(plane: ndarray) -> tuple[str, int] | None:
    """The narrowest border that all wrong elements lie in, and its size in elements."""
    for width in BORDERS:
        if min(plane.shape) <= 2 * width:
            return None
        sides = {
            "top": np.s_[:width, :], "bottom": np.s_[-width:, :],
            "left": np.s_[:, :width], "right": np.s_[:, -width:],
        }  # fmt: skip
        for count in range(1, len(sides) + 1):
            for names in combinations(sides, count):
                covered = np.zeros_like(plane)
                for name in names:
                    covered[sides[name]] = True
                # A region that is right for the most part says little.
                if not (plane & ~covered).any() and 2 * plane.sum() >= covered.sum():
                    which = "" if count == len(sides) else f"{' and '.join(names)} "
                    thick = f", {width} wide" if width > 1 else ""
                    return f"the {which}border{thick}", int(covered.sum())
    return None


def _values(evidence: Evidence) -> str:
    """What the wrong values have in common, or ""; to the bit."""
    wrong = evidence.wrong
    actual, expected = (a[wrong].astype(np.float64) for a in (evidence.actual, evidence.expected))
    if np.isnan(actual).all():
        return "each is NaN"
    if len(actual) < 2:
        return ""
    if (actual == actual[0]).all():
        return f"each is {actual[0]:g}"
    with np.errstate(all="ignore"):
        first = int(np.argmax(expected != 0))
        ratio, shift = actual[first] / expected[first], actual[0] - expected[0]
        if np.isfinite(ratio) and (actual == ratio * expected).all():
            return f"each is {ratio:.6g} times what it should be"
        if np.isfinite(shift) and (actual - expected == shift).all():
            return f"each is {shift:+.6g} off"
    if np.array_equal(np.sort(evidence.actual, None), np.sort(evidence.expected, None)):
        return "the right ones, at other places"
    return ""
