"""Each way to sum is told by its rounding errors alone."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from conformance import passport
from conformance.passport import DOTS, DTYPES, LADDER, Passport, Rung, measured
from impls import im2col
from impls.backend import Backend

Add = Callable[[ndarray, ndarray, ndarray], ndarray]


def sequentially(add: Add) -> Callable[..., ndarray]:
    """A linear kernel that adds term by term: add(total, left, right)."""

    def linear(input: ndarray, weight: ndarray, bias: Any) -> ndarray:
        total = np.zeros((len(input), len(weight)), input.dtype)
        for left, right in zip(input.T, weight.T, strict=True):
            total = add(total, left[:, None], right)
        return total.astype(input.dtype)

    return linear


def to_bits(bits: int) -> Callable[[ndarray], ndarray]:
    """Rounds to a fraction of so many bits."""

    def rounded(array: ndarray) -> ndarray:
        fraction, power = np.frexp(array)
        return np.ldexp(np.round(fraction * 2**bits) / 2**bits, power).astype(array.dtype)

    return rounded


def in_dtype(dtype: Any) -> Add:
    return lambda total, left, right: total.astype(dtype) + left.astype(dtype) * right.astype(dtype)


def rounding_totals(dtype: Any) -> Add:
    return lambda total, left, right: total.astype(dtype) + (left * right).astype(dtype)


def fused(total: ndarray, left: ndarray, right: ndarray) -> ndarray:
    """The product is not rounded before it is added."""
    return (total + left.astype(np.longdouble) * right).astype(total.dtype)


def bfloat16(total: ndarray, left: ndarray, right: ndarray) -> ndarray:
    return to_bits(8)(total + left * right)


def pairwise(input: ndarray, weight: ndarray, bias: Any) -> ndarray:
    total = input[:, None] * weight
    while total.shape[-1] > 1:
        total = total[..., ::2] + total[..., 1::2]
    return np.ascontiguousarray(total[..., 0])


def once(input: ndarray, weight: ndarray, bias: Any) -> ndarray:
    """Rounded products, added without any error, rounded once."""
    sums = [[math.fsum(row * other) for other in weight] for row in input]
    return np.array(sums, input.dtype)


# By name: the kernel, and what is found in float32: accumulator, products, range of the exponent.
KERNELS: dict[str, tuple[Callable[..., ndarray], str, str, tuple[float, float]]] = {
    "sequential": (sequentially(in_dtype(np.float32)), "float32", "rounded", (0.35, 0.65)),
    "fused": (sequentially(fused), "float32", "fused", (0.35, 0.65)),
    "pairwise": (pairwise, "float32", "rounded", (-0.15, 0.15)),
    "half": (sequentially(rounding_totals(np.float16)), "float16", "rounded", (0.35, 1.5)),
    "bfloat16": (sequentially(bfloat16), "bfloat16", "rounded", (0.35, 1.5)),
    "double": (sequentially(in_dtype(np.float64)), "float64", "kept", (-0.1, 0.1)),
    "double, of rounded products": (
        sequentially(rounding_totals(np.float64)), "float64", "rounded", (-0.6, 0.1)),
    "once": (once, "wider than float64", "rounded", (-0.6, 0.1)),
}  # fmt: skip


def backend_of(**kernels: Any) -> Backend:
    module = ModuleType("summing")
    vars(module).update(kernels)
    return Backend("summing", module)


def found(**kernels: Any) -> dict[str, tuple[Passport, list[Rung]]]:
    """What is measured of a backend, by dtype; it computes one op."""
    return {each[0].dtype: each for each in measured(backend_of(**kernels))}


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("name", KERNELS)
def test_a_way_to_sum_is_told(name: str) -> None:
    kernel, accumulator, products, (low, high) = KERNELS[name]
    told, rungs = found(linear=kernel)["float32"]
    assert (told.op, told.direction) == ("linear", "forward")
    assert (told.accumulator, told.products) == (accumulator, products)
    assert low < told.exponent < high
    assert [rung.terms for rung in rungs] == list(LADDER)
    assert told.worst_grade == max(rung.grade_max for rung in rungs)


def test_sequential_and_pairwise_sums_part_with_their_length() -> None:
    one_by_one = found(linear=KERNELS["sequential"][0])["float32"][1]
    halved = found(linear=pairwise)["float32"][1]
    assert one_by_one[-2].error_rms > 8 * halved[-2].error_rms
    # The products alone round here.
    assert one_by_one[0].error_rms < 2 * halved[0].error_rms


def test_float64_is_told_from_float32_inside() -> None:
    told = found(linear=sequentially(in_dtype(np.float32)))["float64"][0]
    assert told.accumulator == "float32"
    assert told.worst_grade > 1e6
    assert found(linear=pairwise)["float64"][0].accumulator == "float64"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op, direction", DOTS, ids="-".join)
def test_every_dot_is_the_sum_that_it_is_taken_for(op: str, direction: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    left = rng.integers(-4, 5, (3, 16)).astype(dtype)
    right = rng.integers(-4, 5, 16).astype(dtype)
    if (op, direction) in passport.WITHOUT_PRODUCTS:
        right[:] = 1
    got = DOTS[op, direction](Backend("im2col", im2col), left, right)
    assert got.dtype == dtype
    assert np.array_equal(got.reshape(3), left @ right)


def test_errors_are_exact() -> None:
    left, right = np.array([[1 + 2.0**-30, 1.0]]), np.array([1 + 2.0**-30, -1.0])
    exact, error = passport._errors(left, right, np.array([2.0**-29]))
    assert exact[0] == 2.0**-29 + 2.0**-60
    assert error[0] == 2.0**-60


def test_what_a_backend_lacks_or_crashes_at_has_no_passport(tmp_path: Path) -> None:
    def crashing(*arrays: ndarray, **params: Any) -> ndarray:
        raise ZeroDivisionError

    backend = backend_of(linear=pairwise, conv=crashing)
    passport.store([backend], tmp_path)
    with (tmp_path / "passport.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["op"], line["dtype"]) for line in lines] == [("linear", d) for d in DTYPES]
    assert lines[0]["accumulator"] == "float32"
    with (tmp_path / "passport_ladder.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(DTYPES) * len(LADDER)
