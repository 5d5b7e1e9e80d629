"""The accuracy passport of a backend: how it sums, told from its rounding errors alone.

    python -m conformance.passport --backend numba --out reports/latest

Every sum of an op is asked as dot products of known vectors, whose exact values need no oracle. On
positive data the error grows as n^0.5 where sums run through one after the other, and hardly where
they are halved or wider inside. Sums that cancel tell the bits of what they are held in.
"""

import argparse
import csv
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

import impls
from conformance import tolerance
from impls.backend import Backend
from impls.spec.case import seed
from impls.spec.ops import OPS

PASSPORT_FILE, LADDER_FILE = "passport.csv", "passport_ladder.csv"
DTYPES = ("float32", "float64")
LADDER = tuple(4**power for power in range(1, 8))
# Products of a call, few enough for a backend in pure Python, and sums of one length.
MACS = 2**14
FEWEST, MOST = 4, 64
# Terms of a probe, and how often it is asked at other places.
PROBE, PLACES = 256, 16
# Apart by so many, terms meet in one lane of a kernel, or in one block: 4 vectors of 16 are 64.
LANES = (32, 64, 128)
# Bits of a fraction, the leading one included, with what has so many.
WIDTHS = {8: "bfloat16", 11: "float16", 24: "float32", 53: "float64", 64: "wider than float64"}


@dataclass(frozen=True, slots=True)
class Rung:
    """Errors of the sums of one length: a line of passport_ladder.csv."""

    backend: str
    op: str
    direction: str
    dtype: str
    terms: int
    sums: int
    grade_median: float
    grade_max: float
    error_rms: float


@dataclass(frozen=True, slots=True)
class Passport:
    """How one op of a backend sums: a line of passport.csv."""

    backend: str
    op: str
    direction: str
    dtype: str
    exponent: float
    worst_grade: float
    accumulator: str
    products: str


# dot(backend, left, right): the sums over k of left[i, k] * right[k], by one op and direction.
Dot = Callable[[Backend, ndarray, ndarray], ndarray]


def _plane(terms: int) -> tuple[int, int]:
    """Height and width of a plane of so many pixels, a power of 4."""
    return math.isqrt(terms), math.isqrt(terms)


def _column(array: ndarray, at: int) -> ndarray:
    """The array along one axis of four."""
    return array.reshape([-1 if axis == at else 1 for axis in range(4)])


def _planes(array: ndarray) -> ndarray:
    """(1, rows, height, width): each row as a plane."""
    return array.reshape(1, -1, *_plane(array.shape[-1]))


def _pixels(array: ndarray) -> ndarray:
    """(rows, channels, 1, 1): each row as the channels of an image of one pixel."""
    return array[:, :, None, None]


def _conv(b: Backend, left: ndarray, right: ndarray) -> ndarray:
    m, n = left.shape
    found: ndarray = b.conv2d(left.reshape(m, n // 4, 2, 2), right.reshape(1, n // 4, 2, 2))
    return found


def _masked(op: str, wanted: int) -> Callable[..., ndarray]:
    """One gradient of an op with three operands."""
    mask = tuple(number == wanted for number in range(3))

    def gradient(b: Backend, *arrays: ndarray) -> ndarray:
        found: ndarray = getattr(b, f"{op}_backward")(*arrays, output_mask=mask)[wanted]
        return found

    return gradient


def _by_pixels(op: str) -> Dot:
    """grad_input by a kernel of 1 x 1, over output channels."""

    def dot(b: Backend, left: ndarray, right: ndarray) -> ndarray:
        at = 0 if op == "conv2d" else 1
        return _masked(op, 0)(b, _pixels(left), left[:, :1, None, None], _column(right, at))

    return dot


def _by_planes(op: str, wanted: int) -> Dot:
    """grad_weight or grad_bias by a kernel of 1 x 1, over a plane."""

    def dot(b: Backend, left: ndarray, right: ndarray) -> ndarray:
        many, one = _planes(left), _planes(right[None])
        if op == "conv2d" or wanted == 2:
            weight = np.ones((len(left), 1, 1, 1) if op == "conv2d" else (1, len(left), 1, 1))
            return _masked(op, wanted)(b, many, one, weight.astype(left.dtype))
        weight = np.ones((len(left), 1, 1, 1), left.dtype)
        return _masked(op, wanted)(b, one, many, weight)

    return dot


def _linear_back(wanted: int) -> Dot:
    def dot(b: Backend, left: ndarray, right: ndarray) -> ndarray:
        gradient = _masked("linear", wanted)
        if wanted == 0:
            return gradient(b, left, left[:, :1].copy(), right[:, None])
        weight = np.ones((len(left), 1), left.dtype)
        return gradient(b, left.T.copy(), right[:, None], weight)

    return dot


def _pooled(b: Backend, left: ndarray, right: ndarray) -> ndarray:
    found: ndarray = b.avg_pool2d(_planes(left), _plane(left.shape[1]), divisor_override=1)
    return found


def _mean(b: Backend, left: ndarray, right: ndarray) -> ndarray:
    # A power of two: the division does not round, nor does its inverse.
    found: ndarray = b.global_avg_pool2d(_planes(left)) * left.dtype.type(left.shape[1])
    return found


# Where `right` is None, the op multiplies nothing: its sums are of `left` alone.
DOTS: dict[tuple[str, str], Dot] = {
    ("conv2d", "forward"): _conv,
    ("conv2d", "grad_input"): _by_pixels("conv2d"),
    ("conv2d", "grad_weight"): _by_planes("conv2d", 1),
    ("conv2d", "grad_bias"): _by_planes("conv2d", 2),
    ("conv_transpose2d", "forward"): lambda b, left, right: b.conv_transpose2d(
        _pixels(left), _column(right, 0)
    ),
    ("conv_transpose2d", "grad_input"): _by_pixels("conv_transpose2d"),
    ("conv_transpose2d", "grad_weight"): _by_planes("conv_transpose2d", 1),
    ("linear", "forward"): lambda b, left, right: b.linear(left, right[None]),
    ("linear", "grad_input"): _linear_back(0),
    ("linear", "grad_weight"): _linear_back(1),
    ("avg_pool2d", "forward"): _pooled,
    ("global_avg_pool2d", "forward"): _mean,
}
WITHOUT_PRODUCTS = {
    ("conv2d", "grad_bias"),
    ("avg_pool2d", "forward"),
    ("global_avg_pool2d", "forward"),
}


def ladder(backend: Backend, op: str, direction: str, dtype: str) -> Iterator[Rung]:
    """Errors of longer and longer sums of positive values."""
    for terms in LADDER:
        rng = np.random.default_rng(seed(f"passport {terms}"))
        sums = max(FEWEST, min(MOST, MACS // terms))
        left = rng.random((sums, terms)).astype(dtype)
        right = rng.random(terms).astype(dtype)
        if (op, direction) in WITHOUT_PRODUCTS:
            right[:] = 1
        actual = DOTS[op, direction](backend, left, right).reshape(sums)
        exact, error = _errors(left, right, actual)
        grades = tolerance.grades(error, exact, terms, dtype)
        yield Rung(
            backend.name, op, direction, dtype, terms, sums, float(np.median(grades)),
            float(grades.max()), float(np.sqrt(np.mean(grades**2)) * np.sqrt(terms + 2)),
        )  # fmt: skip


def _errors(left: ndarray, right: ndarray, actual: ndarray) -> tuple[ndarray, ndarray]:
    """The exact sums of products, rounded once, and how far the actual ones are from them."""
    high, low = _products(left.astype(np.float64), right.astype(np.float64))
    exact = [math.fsum(terms) for terms in np.hstack([high, low])]
    error = [
        abs(math.fsum([*terms, -float(y)]))
        for terms, y in zip(np.hstack([high, low]), actual, strict=True)
    ]
    return np.array(exact), np.array(error)


def _products(left: ndarray, right: ndarray) -> tuple[ndarray, ndarray]:
    """(high, low) whose sum is the exact product (Dekker 1971, by Veltkamp's splitting)."""
    (a, b), (c, d) = _halves(left), _halves(right)
    high = left * right
    return high, ((a * c - high) + a * d + b * c) + b * d


def _halves(array: ndarray) -> tuple[ndarray, ndarray]:
    scaled = array * (2.0**27 + 1)
    high = scaled - (scaled - array)
    return high, array - high


def exponent(rungs: list[Rung]) -> float:
    """The a of error / (u * S) ~ n^a, by least squares; a rung counts as the sums it has.

    Four terms are left out: there the products round as much as the sums.
    """
    kept = [rung for rung in rungs if rung.error_rms > 0 and rung.terms > LADDER[0]]
    if len(kept) < 3:
        return 0.0  # nothing rounds
    x, y = (np.log2([getattr(rung, name) for rung in kept]) for name in ("terms", "error_rms"))
    return float(np.polyfit(x, y, 1, w=np.sqrt([rung.sums for rung in kept]))[0])


def accumulator(backend: Backend, op: str, direction: str, dtype: str) -> str:
    """What sums are held in: the widest in which 1 + 2^-k - 1 is 2^-k wherever the three lie."""
    left, right = np.zeros((PLACES, PROBE)), np.ones(PROBE, dtype)
    widest = "narrower"
    for bits, name in WIDTHS.items():
        small = 2.0 ** (1 - bits)
        for row, terms in enumerate(left):
            places = np.random.default_rng(row).permutation(PROBE)[:3]
            terms[:] = 0
            terms[places] = 1, small, -1
        got = DOTS[op, direction](backend, left.astype(dtype), right)
        if not (got == small).all():
            return widest
        widest = name
    return widest


def products_of(backend: Backend, op: str, direction: str, dtype: str) -> str:
    """What becomes of the bits of a product that the dtype has no room for."""
    if (op, direction) in WITHOUT_PRODUCTS:
        return ""
    bits = np.finfo(dtype).nmant + 1
    factor = 1 + 2.0 ** -((bits + 1) // 2)
    kept = []
    for lanes, place in product(LANES, range(0, PROBE // 2, PROBE // 8)):
        for places in ([place, place + lanes], [place + lanes, place]):
            left, right = np.zeros((1, PROBE), dtype), np.ones(PROBE, dtype)
            left[0, places], right[places] = (factor, 1 - 2 * factor), (factor, 1)
            got = DOTS[op, direction](backend, left, right).item()
            kept.append(got == (factor - 1) ** 2)
    # A fused multiply-add keeps them where it adds to what cancels the rest, not before.
    return "kept" if all(kept) else "fused" if any(kept) else "rounded"


def measured(backend: Backend) -> Iterator[tuple[Passport, list[Rung]]]:
    """The passport of each op, direction and dtype that the backend computes."""
    for op, direction in DOTS:
        if not backend.has(OPS[op].kernel_of(direction)):
            continue  # a bias gradient that the gate sums is not the backend's
        for dtype in DTYPES:
            asked = (backend, op, direction, dtype)
            try:
                rungs = list(ladder(*asked))
                held = accumulator(*asked), products_of(*asked)
            except Exception:  # unsupported or a crash: pytest conformance tells which
                continue
            worst = max(rung.grade_max for rung in rungs)
            named = (backend.name, op, direction, dtype)
            yield Passport(*named, exponent(rungs), worst, *held), rungs


def store(backends: Iterable[Backend], directory: Path) -> None:
    """Write passport.csv and passport_ladder.csv."""
    found = [each for backend in backends for each in measured(backend)]
    directory.mkdir(parents=True, exist_ok=True)
    write(directory / PASSPORT_FILE, Passport, (passport for passport, _ in found))
    write(directory / LADDER_FILE, Rung, (rung for _, rungs in found for rung in rungs))


def write(path: Path, kind: type[Any], rows: Iterable[Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(kind)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m conformance.passport", description=__doc__)
    parser.add_argument("--backend", action="append", help="repeat for several")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    asked = parser.parse_args(arguments)
    store([impls.get(spec) for spec in asked.backend or impls.names()], asked.out)


if __name__ == "__main__":
    main(sys.argv[1:])
