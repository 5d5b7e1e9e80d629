"""Comparison, tolerance, and what a run of the suite tells about a backend from outside."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from conformance import jsonl, tolerance
from conformance.checks import Check, up_to
from conformance.judge import judge
from conformance.networks import networks_up_to
from conformance.verdict import PASSED, Status, Verdict, differences, why_untrusted
from impls import im2col
from impls.backend import Backend
from impls.spec.interface import KERNELS

ROOT = Path(__file__).resolve().parents[2]

# Rows of one backend at level core.
PROMISED = len(up_to("core")) + len(networks_up_to("core"))


# ---------------------------------------------------------------------------------- comparison


@pytest.fixture
def border() -> ndarray:
    """(1, 3, 6, 10), 180 values, none of them zero."""
    return np.arange(1.0, 181.0).reshape(1, 3, 6, 10)


def test_equal_arrays_have_no_differences(border: ndarray) -> None:
    assert differences("output", border, border.copy()) == ""


def test_one_wrong_border_pixel_is_told(border: ndarray) -> None:
    wrong = border.copy()
    wrong[0, 2, 5, 9] = 4
    assert differences("output", wrong, border) == (
        "output[0, 2, 5, 9]=4.0, but should be 180.0; 1 of 180 differ"
    )


def test_the_message_names_the_first_difference_and_counts_all() -> None:
    expected = np.full((1, 2, 6, 15), -14.0)
    actual = expected.copy()
    actual[0, 1, 2, 0] = 4
    assert differences("grad_input", actual, expected) == (
        "grad_input[0, 1, 2, 0]=4.0, but should be -14.0; 1 of 180 differ"
    )
    actual[0, 1, 3:, 0] = np.nan
    assert differences("grad_input", actual, expected).endswith("should be -14.0; 4 of 180 differ")


def test_a_number_without_axes_has_no_place() -> None:
    assert differences("output", np.array(1.0), np.array(2.0)) == (
        "output=1.0, but should be 2.0; 1 of 1 differ"
    )


@pytest.mark.parametrize("shape", [(3, 6, 10), (1, 3, 10, 6), (1, 3, 6, 10, 1), (1, 3, 6, 1), ()])
def test_another_shape_is_told(border: ndarray, shape: tuple[int, ...]) -> None:
    actual = np.resize(border, shape)
    assert differences("output", actual, border) == (
        f"output.shape={shape}, but should be (1, 3, 6, 10)"
    )
    unlimited = np.full_like(border, np.inf)
    assert "shape" in differences("output", actual, border, unlimited)


def test_another_dtype_is_told(border: ndarray) -> None:
    assert differences("output", border, border.astype(np.float32)) == (
        "output.dtype=float64, but should be float32"
    )


def test_nan_equals_nan_and_nothing_else() -> None:
    nan, one, infinity = np.array([np.nan]), np.array([1.0]), np.array([np.inf])
    limit = np.array([1e300])
    assert differences("output", nan, nan) == ""
    assert differences("output", nan, nan, limit) == ""
    for actual, expected in [(nan, one), (one, nan), (nan, infinity), (infinity, nan)]:
        assert "1 of 1 differ" in differences("output", actual, expected)
        assert "1 of 1 differ" in differences("output", actual, expected, limit)


def test_infinities_are_equal_by_sign() -> None:
    infinity, limit = np.array([np.inf]), np.array([1e300])
    assert differences("output", infinity, infinity, limit) == ""
    assert differences("output", -infinity, infinity, limit) != ""
    assert differences("output", np.array([1.0]), infinity, limit) != ""


def test_the_sign_of_zero_counts_only_where_asked() -> None:
    zero = np.array([0.0])
    assert differences("output", -zero, zero) == ""
    assert differences("output", -zero, zero, signed_zero=True) == (
        "output[0]=-0.0, but should be 0.0; 1 of 1 differ"
    )
    # NaN has a sign bit that means nothing.
    assert differences("output", np.array([-np.nan]), np.array([np.nan]), signed_zero=True) == ""


def test_an_error_up_to_the_limit_passes() -> None:
    expected, limit = np.array([1.0, 2.0]), np.array([0.25, 0.5])
    assert differences("output", np.array([1.25, 1.5], np.float32), expected, limit) == ""
    message = differences("output", np.array([1.25, 1.4], np.float32), expected, limit)
    assert message == "output[1]=1.399999976158142, but should be 2.0 within 0.5; 1 of 2 differ"


@pytest.mark.parametrize(
    "expected, why",
    [
        (np.empty((0, 3)), "output is empty"),
        (np.zeros((2, 3)), "output is 0.0 everywhere"),
        (np.full((2, 3), 7.0), "output is 7.0 everywhere"),
        (np.eye(1, 100), "output is almost all zero: 1.0% of it is not"),
        (np.eye(1, 50), ""),
        (np.array([0.0]), "output is almost all zero: 0.0% of it is not"),
        (np.array([7.0]), ""),
        (np.array([1.0, 2.0]), ""),
    ],
)
def test_what_proves_little_is_untrusted(expected: ndarray, why: str) -> None:
    assert why_untrusted("output", expected) == why


# ----------------------------------------------------------------------------------- tolerance


def _sequential(products: ndarray, dtype: Any) -> ndarray:
    total = np.zeros(len(products), dtype)
    for column in products.T:
        total = (total + column.astype(dtype)).astype(dtype)
    return total


def _products(terms: int, dtype: str) -> tuple[ndarray, ndarray, ndarray]:
    """Rounded products of real values, 64 sums of them; their exact sums and magnitudes."""
    rng = np.random.default_rng(terms)
    left, right = (rng.standard_normal((64, terms)).astype(dtype) for _ in range(2))
    exact = left.astype(np.longdouble) * right.astype(np.longdouble)
    return left * right, exact.sum(1).astype(np.float64), np.abs(exact).sum(1).astype(np.float64)


ORDERS: dict[str, Callable[[ndarray, Any], ndarray]] = {
    "sequential": _sequential,
    "reversed": lambda products, dtype: _sequential(products[:, ::-1], dtype),
    "pairwise": lambda products, dtype: products.sum(1, dtype=dtype),
    "by size": lambda products, dtype: _sequential(np.sort(products, axis=1), dtype),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("terms", [1, 9, 147, 2304])
@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_summation_is_within_the_limit(order: str, terms: int, dtype: str) -> None:
    products, expected, magnitude = _products(terms, dtype)
    actual = ORDERS[order](products, dtype)
    limit = tolerance.limit(magnitude, terms, dtype)
    assert differences("output", actual, expected, limit) == ""
    error = np.abs(actual.astype(np.float64) - expected)
    if order != "by size":  # sorted data are not zero-mean along the sum: the grade is not for them
        assert tolerance.grade(error, magnitude, terms, dtype) < tolerance.GRADE_LIMIT


@pytest.mark.parametrize("terms", [2, 9, 147, 576])
def test_half_precision_is_refused(terms: int) -> None:
    products, expected, magnitude = _products(terms, "float32")
    actual = _sequential(products, np.float16).astype(np.float32)
    limit = tolerance.limit(magnitude, terms, "float32")
    error = np.abs(actual.astype(np.float64) - expected)
    assert tolerance.grade(error, magnitude, terms, "float32") > tolerance.GRADE_LIMIT
    if terms < 576:  # the limit is loose for long sums; the grade is what refuses them
        assert differences("output", actual, expected, limit) != ""


@pytest.mark.parametrize("terms", [1, 9, 147])
def test_single_precision_is_refused_for_float64(terms: int) -> None:
    products, expected, magnitude = _products(terms, "float64")
    actual = _sequential(products, np.float32).astype(np.float64)
    limit = tolerance.limit(magnitude, terms, "float64")
    assert differences("output", actual, expected, limit) != ""


def test_the_limit_of_nothing_is_a_few_subnormals() -> None:
    limit = tolerance.limit(np.zeros(1), 9, "float32")
    assert 0 < limit[0] < np.finfo(np.float32).tiny
    assert tolerance.grade(np.ones(1), np.zeros(1), 9, "float32") == 0
    assert tolerance.grade(np.empty(0), np.empty(0), 9, "float32") == 0


def test_the_limit_of_a_transform_scales_with_the_largest_sum() -> None:
    limit = tolerance.transform_limit(np.array([1.0, 8.0]), "float32")
    assert limit[0] == limit[1] == 8 * tolerance.TRANSFORM_FACTOR * 2.0**-24
    assert tolerance.transform_limit(np.empty(0), "float32").size == 0


# ------------------------------------------------------------------------------------ statuses


def _backend(**attributes: Any) -> Backend:
    module = ModuleType("made_here")
    vars(module).update(attributes)
    return Backend("made_here", module)


def _check(kind: str, op: str = "conv2d", direction: str = "forward") -> Check:
    """The first float32 check of a kind for one direction of an op, in the core level."""
    return next(
        check
        for check in up_to("core")
        if check.kind == kind and check.op.name == op and check.dtype in ("float32", "")
        if check.direction == direction
    )


def test_a_kernel_that_is_absent_is_missing() -> None:
    backend = _backend(conv=im2col.conv)
    verdict = judge(backend, _check("values"))
    assert verdict.status is Status.PASSED
    assert verdict.grade is not None
    assert 0 < verdict.grade < tolerance.GRADE_LIMIT
    for direction in ("grad_input", "grad_weight"):
        missing = Verdict(Status.MISSING, f"no kernel conv_{direction}")
        assert judge(backend, _check("gradients", direction=direction)) == missing
    # The gate sums the bias gradient for a backend that has gradients, not for this one.
    verdict = judge(backend, _check("gradients", direction="grad_bias"))
    assert verdict == Verdict(Status.MISSING, "no kernel conv_grad_weight")
    assert judge(backend, _check("interface")) == PASSED
    assert judge(backend, _check("interface", "relu")).status is Status.MISSING


def test_a_declared_limit_is_unsupported() -> None:
    def unsupported(kernel: str, params: dict[str, Any]) -> str:
        return "groups" if params.get("groups", 1) > 1 else ""

    backend = _backend(conv=im2col.conv, unsupported=unsupported)
    verdicts = [
        judge(backend, check)
        for check in up_to("core")
        if check.kind == "values" and check.op.name == "conv2d"
    ]
    told = {verdict.message for verdict in verdicts if verdict.status is Status.UNSUPPORTED}
    assert told == {"groups"}
    assert {verdict.status for verdict in verdicts} == {Status.PASSED, Status.UNSUPPORTED}


def test_a_crash_is_an_error_with_its_traceback() -> None:
    def conv(*args: object, **params: object) -> ndarray:
        raise ZeroDivisionError("kernel crashed here")

    verdict = judge(_backend(conv=conv), _check("values"))
    assert verdict.status is Status.ERROR
    assert "kernel crashed here" in verdict.message
    assert "Traceback" in verdict.message
    assert "[conv2d " in verdict.message


def test_a_wrong_signature_is_told_beside_the_right_one() -> None:
    def conv(input: ndarray, weight: ndarray, stride: int) -> ndarray:
        return input

    verdict = judge(_backend(conv=conv), _check("interface"))
    assert verdict.status is Status.FAILED
    assert "takes (input: numpy.ndarray, weight: numpy.ndarray, stride: int)" in verdict.message
    assert f"but should take {KERNELS['conv']}" in verdict.message


@pytest.mark.parametrize("kind", ["values", "shapes"])
def test_a_refusal_that_is_not_declared_fails(kind: str) -> None:
    def conv(*arrays: ndarray, **params: Any) -> ndarray:
        raise NotImplementedError("no groups yet")

    verdict = judge(_backend(conv=conv), _check(kind))
    assert verdict.status is Status.FAILED
    assert "NotImplementedError('no groups yet') is raised, but not declared" in verdict.message
    declared = _backend(conv=conv, unsupported=lambda kernel, params: "no groups yet")
    assert judge(declared, _check(kind)) == Verdict(Status.UNSUPPORTED, "no groups yet")


def test_a_declared_limit_that_does_not_hold_fails() -> None:
    limits = iter(["odd days", "", ""])
    backend = _backend(conv=im2col.conv, unsupported=lambda kernel, params: next(limits))
    verdict = judge(backend, _check("values"))
    assert verdict.status is Status.FAILED
    assert "is declared unsupported (odd days), but answers" in verdict.message


def test_a_limit_is_declared_in_words() -> None:
    backend = _backend(conv=im2col.conv, unsupported=lambda kernel, params: True)
    verdict = judge(backend, _check("values"))
    assert verdict.status is Status.FAILED
    assert "unsupported returned True, but should say why in a str" in verdict.message


# ------------------------------------------------------------------------- from the command line

RIGHT = "from impls.im2col import conv\n"
WRONG = """\
from impls.im2col import conv as right

def conv(*arrays, **params):
    output = right(*arrays, **params)
    output[..., -1] += 1
    return output
"""


def run(*args: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """`pytest conformance ARGS` from the root of the repository."""
    line = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, args)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.fixture
def backend(tmp_path: Path) -> Path:
    """Where a backend's file may be written; the name of its folder has a space."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    return folder / "mine.py"


def counts(output: str, op: str = "all") -> dict[str, int]:
    """The line of the summary that counts an op's verdicts."""
    (line,) = re.findall(rf"^mine +{re.escape(op)} +(.*)$", output, re.MULTILINE)
    told = re.findall(r"(\d+) ([a-z]+)", line)
    passed = sum(int(count) for count in re.findall(r"(\d+)/", line))
    return {
        **dict.fromkeys(map(str, Status), 0),
        "passed": passed,
        **{status: int(count) for count, status in told},
    }


def first_kill(backend: Backend, checks: list[Check]) -> tuple[Check, Verdict] | None:
    """The first check that fails, with its verdict."""
    for check in checks:
        verdict = judge(backend, check)
        if verdict.status in (Status.FAILED, Status.ERROR):
            return check, verdict
    return None


def rows(path: Path) -> list[dict[str, Any]]:
    return jsonl.read(path).rows


def test_one_kernel_is_enough_for_a_verdict(backend: Path, tmp_path: Path) -> None:
    backend.write_text(RIGHT, encoding="utf-8")
    stored = tmp_path / "out" / "checks.jsonl"
    done = run("conformance", "--backend", backend, "--level", "core", "--jsonl", stored)
    assert done.returncode == 0, done.stdout
    assert f"conformance: {backend}; {PROMISED} checks each" in done.stdout
    found = counts(done.stdout)
    # That the file loads is no check of up_to, and counted only where it does not.
    assert sum(found.values()) == PROMISED
    assert found["failed"] == found["error"] == found["untrusted"] == found["unsupported"] == 0
    assert counts(done.stdout, "conv2d")["passed"] > 100
    assert counts(done.stdout, "relu")["passed"] == 0
    told = rows(stored)
    assert len(told) == PROMISED
    assert {row["backend"] for row in told} == {"mine"}
    assert {row["message"] for row in told if row["status"] == "missing"} >= {"no kernel relu"}
    assert not {row["level"] for row in told} & {"extended"}


def test_two_processes_count_as_one_does(backend: Path, tmp_path: Path) -> None:
    backend.write_text(WRONG, encoding="utf-8")
    args = ("conformance", "--backend", backend, "--level", "document")
    alone = run(*args, "--jsonl", tmp_path / "alone.jsonl")
    both = run(*args, "-n", "2", "--jsonl", tmp_path / "both.jsonl")
    assert alone.returncode == both.returncode == 1
    assert counts(alone.stdout) == counts(both.stdout)
    assert counts(alone.stdout)["failed"] > 0
    assert rows(tmp_path / "alone.jsonl") == rows(tmp_path / "both.jsonl")


def test_a_failure_says_what_where_and_how_to_repeat_it(backend: Path) -> None:
    backend.write_text(WRONG, encoding="utf-8")
    done = run("conformance", "--backend", backend, "--level", "document", "-k", "values", "-x")
    assert done.returncode == 1
    told = re.search(
        r"^failed: mine: output\[[\d, ]+\]=\S+, but should be \S+; \d+ of \d+ differ"
        r" \[conv2d \S+: .+\] \(float64, exact data\)\nrepeat: (.+)$",
        done.stdout,
        re.MULTILINE,
    )
    assert told, done.stdout
    again = shlex.split(told[1])
    assert again[0] == "pytest"
    repeated = run(*again[1:])
    assert repeated.returncode == 1
    assert told[0] in repeated.stdout
    assert "1 failed" in repeated.stdout
    assert sum(counts(repeated.stdout).values()) == 1


def test_what_cannot_be_loaded_is_an_error_of_its_own(tmp_path: Path) -> None:
    sources = {
        "syntax": ("def conv(:\n", "SyntaxError"),
        "raises": ("raise RuntimeError('no such device')\n", "RuntimeError('no such device')"),
        "imports": ("import no_such_module_anywhere\n", "no_such_module_anywhere"),
        "no_kernel": ("def convolve(a): return a\n", "must define a kernel, one of "),
    }
    specs = {name: str(tmp_path / f"{name}.py") for name in sources} | {"none": "no_such_backend"}
    for name, (source, _) in sources.items():
        Path(specs[name]).write_text(source, encoding="utf-8")
    stored = tmp_path / "checks.jsonl"
    asked = [word for spec in specs.values() for word in ("--backend", spec)]
    done = run("conformance", *asked, "--level", "document", "-k", "loads", "--jsonl", stored)
    assert done.returncode == 1
    told = {row["backend"]: row for row in rows(stored)}
    assert list(told) == list(specs.values())
    says = {name: words for name, (_, words) in sources.items()}
    says["none"] = "must be one of im2col, loop, numba, an importable module or a path"
    for name, words in says.items():
        row = told[specs[name]]
        assert row["status"] == "error"
        assert row["message"].startswith(f"backend={specs[name]!r} cannot be loaded: ")
        assert words in row["message"]
        assert f"error: {row['message']}\nrepeat: {row['repeat']}" in done.stdout
    repeated = run(*shlex.split(told["no_such_backend"]["repeat"])[1:])
    assert repeated.returncode == 1
    assert told["no_such_backend"]["message"] in repeated.stdout


def test_only_backend_checks_are_collected() -> None:
    done = run("conformance", "--backend", "im2col", "--level", "core", "--collect-only", "-q")
    assert done.returncode == 0
    collected = re.findall(r"^(\S+)::test_\w+\[im2col", done.stdout, re.MULTILINE)
    # test_loads is one more than the checks.
    assert len(collected) == PROMISED + 1
    assert not any("meta" in path for path in collected)
