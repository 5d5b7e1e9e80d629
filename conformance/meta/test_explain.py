"""A failure says where it is wrong, which known fault it looks like, and leaves a script."""

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from conformance.checks import Check, up_to
from conformance.drawing import COLUMNS, ROWS, drawing
from conformance.explain import MOST, Explainer
from conformance.judge import DYES, FILLINGS, SPECIALS, SUBNORMAL, given, judge
from conformance.lookalike import lookalikes
from conformance.meta.faults import FAULTS, made, right_kernel
from conformance.meta.test_verdict import ROOT, first_kill, rows, run
from conformance.script import recipe, script
from conformance.verdict import Evidence, Status
from impls import loop
from impls.backend import Backend
from impls.spec.case import Case
from impls.spec.interface import KERNELS
from impls.spec.op import FORWARD
from impls.spec.ops import OPS

# Cheap and likely first: a fault is searched for until its first kill.
KINDS = ("values", "gradients", "shapes", "specials", "dye", "purity", "interface", "random")
BY_NAME = {fault.name: fault for fault in FAULTS}


def checks_for(kernel: str) -> list[Check]:
    """The checks of a kernel's op, those of its own first."""
    return list(_checks_for(kernel.removesuffix("_values")))


@cache
def _checks_for(kernel: str) -> tuple[Check, ...]:
    of_op = [
        check
        for check in up_to("extended")
        if check.kind in KINDS and kernel in map(check.op.kernel_of, check.op.directions)
    ]
    order = {kind: place for place, kind in enumerate(KINDS)}
    return tuple(
        sorted(
            of_op,
            key=lambda check: (
                check.kernel != kernel,
                order[check.kind],
                check.dtype != "float32",
            ),
        )
    )


# ------------------------------------------------------------------------------------- drawing


def drawn(change: Callable[[ndarray], None], shape: tuple[int, ...], what: str = "output") -> str:
    """What is said of an array of 1, 2, ... that `change` makes wrong."""
    expected = np.arange(1.0, np.prod(shape) + 1).reshape(shape)
    actual = expected.copy()
    change(actual)
    return "\n".join(drawing(Evidence("exact", what, actual, expected)))


def zeroing(*place: Any) -> Callable[[ndarray], None]:
    return lambda array: array.__setitem__(place, 0)


def test_a_map_shows_the_worst_plane() -> None:
    def change(array: ndarray) -> None:
        array[1, 2, :, -1] = 0
        array[1, 2, 0] = 0
        array[0, 0, 0, 0] = 0

    assert drawn(change, (2, 3, 4, 5)) == (
        "map: output[1, 2], # is wrong; the worst of 6 planes\n"
        "  #####\n"
        "  ....#\n"
        "  ....#\n"
        "  ....#\n"
        "where: only in every channel but 1, the top and right border; 9 of the 32 there\n"
        "values: each is 0"
    )


@pytest.mark.parametrize(
    "place, shape, words",
    [
        ((..., -1), (2, 3, 4, 5), "only in the last column, 4 (a multiple of 4); all of it"),
        ((..., slice(48, None)), (1, 2, 3, 51), "only in columns from 48 (a multiple of 16)"),
        ((slice(None), slice(32, None)), (1, 35, 2, 2), "only in channels from 32 (a multiple"),
        ((slice(1, None),), (3, 2, 2, 2), "only in images from 1; all of it"),
        ((..., slice(1, None, 2), slice(None)), (1, 1, 6, 5), "only in every second row from 1"),
        ((..., slice(0, 2), slice(None)), (1, 2, 6, 5), "only in rows 0 to 1; all of it"),
        ((..., [0, 1, 3, 4, 5], slice(None)), (1, 2, 6, 5), "only in every row but 2; all of it"),
        ((0, 2, 1, 3), (2, 3, 4, 5), "only in image 0, the last channel, 2, row 1, column 3; all"),
        ((), (2, 2), "everywhere, 4 of 4"),
        ((slice(3, 5),), (9,), "only in columns 3 to 4; all of it"),
        ((..., [0, 0, 1, 2, 3, 4], [0, 4, 2, 1, 3, 0]), (2, 1, 5, 5), "scattered, 12 of 50"),
    ],
)
def test_places_are_put_in_words(place: Any, shape: tuple[int, ...], words: str) -> None:
    assert f"where: {words}" in drawn(zeroing(*place), shape)


@pytest.mark.parametrize("width, words", [(1, "the border"), (2, "the border, 2 wide")])
def test_a_border_is_told_with_its_width(width: int, words: str) -> None:
    def change(array: ndarray) -> None:
        inner = array[..., width:-width, width:-width].copy()
        array[:] = -array
        array[..., width:-width, width:-width] = inner

    said = drawn(change, (2, 2, 7, 9))
    assert f"where: only in {words}; all of it\nvalues: each is -1 times what it should be" in said


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda a: a.fill(np.nan), "each is NaN"),
        (lambda a: np.multiply(a, 1.5, out=a), "each is 1.5 times what it should be"),
        (lambda a: np.subtract(a, 3, out=a), "each is -3 off"),
        (lambda a: np.copyto(a, a[..., ::-1].copy()), "the right ones, at other places"),
        (lambda a: np.multiply(a, a, out=a), ""),
    ],
)
def test_values_are_put_in_words(change: Callable[[ndarray], None], words: str) -> None:
    said = drawn(change, (2, 3, 4, 6))
    assert re.findall("values: (.*)", said) == ([words] if words else [])


@pytest.mark.parametrize("shape", [(1, 1, 200, 300), (3, 70), (500,), (2, 2, 2, 9, 9)])
def test_a_map_fits_a_terminal(shape: tuple[int, ...]) -> None:
    said = drawn(zeroing(..., slice(5, 9)), shape).splitlines()
    assert len(said) <= ROWS + 3
    assert all(len(line) <= COLUMNS + 2 for line in said if line.startswith("  "))
    assert any("." in line and ("#" in line or "+" in line) for line in said[1:-2])


# ---------------------------------------------------------------------------------- lookalikes

# One edit in the source of the loop's kernel, which owes nothing to the zoo, and the fault that it
# must be taken for. Of 35 such edits 32 were, and 3 were taken for none.
WINDOW = "_window(p, q, weight, stride, dilation)"
EDITS = [
    ("conv", WINDOW, WINDOW.replace("stride", "stride[::-1]"), "swaps the axes of stride"),
    ("conv", "_pad(input, padding)", "_pad(input, [pair[::-1] for pair in padding])",
     "takes the padding after for the one before"),
    ("conv", "patch * weight[o]", "patch * weight[o, :, ::-1, ::-1]", "flips the kernel"),
    ("conv", "+= bias[o]", "+= bias[o % (len(bias) // groups)]",
     "adds the first group's bias to all"),
    ("conv", "np.sum(patch * weight[o])", "np.sum((patch * weight[o])[:16])",
     "sums 16 channels at most"),
    ("conv", "*output.shape[2:]", "output.shape[2], min(48, output.shape[3])",
     "drops columns past 48"),
    ("conv_grad_input", "+= grad_output[n, o, p, q] *", "+=", "takes ones for grad_output"),
    ("conv_grad_weight", "* patch", "* patch / len(input)", "is averaged over the batch"),
    ("conv_transpose", "padding, output_padding,", "padding, output_padding[::-1],",
     "swaps the axes of output_padding"),
    ("max_pool", "value > best or", "value >= best or", "takes the last of equals"),
    ("max_pool", "value > best or np.isnan(value)", "value > best", "ignores NaN"),
    ("max_pool_grad_input", "+=", "=", "keeps the last of overlapping windows"),
    ("avg_pool", "count_include_pad=count", "count_include_pad=True or count",
     "always counts padding"),
    ("relu_grad_input", "input <= 0", "input < 0", "is 1 at 0"),
    ("image_to_patches", ".flatten()", ".transpose(2, 0, 1).flatten()",
     "flattens channel by channel"),
]  # fmt: skip


def edited(kernel: str, old: str, new: str) -> Backend:
    """The loop backend with one edit in one kernel."""
    body = inspect.getsource(getattr(loop, kernel))
    assert old in body
    module = ModuleType("edited")
    exec(inspect.getsource(loop).replace(body, body.replace(old, new)), vars(module))
    return Backend("edited", module)


def first_told(backend: Backend, kernel: str, kind: str = "") -> list[str]:
    """What the first failure of a kernel looks like."""
    kill = first_kill(backend, [c for c in checks_for(kernel) if kind in ("", c.kind)])
    assert kill is not None
    return lookalikes(backend, *kill)


@pytest.mark.parametrize("kernel, old, new, sin", EDITS, ids=lambda word: word[:40])
def test_an_edited_loop_is_taken_for_its_fault(kernel: str, old: str, new: str, sin: str) -> None:
    (told,) = first_told(edited(kernel, old, new), kernel)
    assert told.startswith("looks like: ")
    assert f"{kernel} {sin}" in told


@pytest.mark.parametrize(
    "name, kind, words",
    [
        (
            "avg_pool counts the ceil overhang",
            "values",
            r"; 24 of 24 calls answered alike, \d+ of them wrong",
        ),
        ("conv returns float64", "shapes", "; the same message"),
        ("conv_grad_weight is averaged over the batch", "purity", "; the same message"),
        ("relu works in place", "purity", "; the same message"),
    ],
)
def test_a_fault_looks_like_itself(name: str, kind: str, words: str) -> None:
    (told,) = first_told(BY_NAME[name].backend(), BY_NAME[name].kernel, kind)
    assert f"{name} " in f"{told} ".replace(";", " ;")
    assert re.search(words, told)


def test_a_fault_that_nobody_planted_is_not_named() -> None:
    kernel = "conv_grad_input"
    module = ModuleType("strange")
    vars(module).update({name: getattr(loop, name) for name in KERNELS if hasattr(loop, name)})
    vars(module)[kernel] = lambda *arrays, **params: getattr(loop, kernel)(*arrays, **params) * 7
    assert first_told(Backend("strange", module), kernel) == []


# ------------------------------------------------------------------------------------- scripts


def fillings_of(check: Check) -> tuple[str, ...]:
    """What a check fills arrays with."""
    if check.kind == "dye":
        return tuple(DYES)
    if check.kind == "specials":
        return (SUBNORMAL,) if check.op.linear else SPECIALS
    return FILLINGS if check.kind in ("values", "gradients") else ()


@pytest.mark.parametrize("op", OPS)
def test_a_script_fills_arrays_as_the_suite_does(op: str) -> None:
    """Every filling and layout: a new one needs a recipe in script.py."""
    seen = set()
    for check in up_to("extended"):
        for filling in fillings_of(check) if check.op.name == op else ():
            assert isinstance(check.case, Case)
            what = (filling, check.direction, check.dtype, check.case.layout)
            if what in seen:
                continue
            seen.add(what)
            found: dict[str, Any] = {"np": np, "inf": np.inf, "nan": np.nan}
            exec("\n".join(recipe(check, filling)), found)
            operands, grad_output = given(check, filling)
            names = [operand.name for operand in check.op.operands]
            pairs = [*zip(names, operands, strict=False)]
            if check.direction != FORWARD:
                pairs.append(("grad_output", grad_output))
            for name, expected in pairs:
                actual = found[name]
                assert actual.dtype == expected.dtype
                # repr tells -0.0 from 0.0, and takes every NaN for one.
                assert repr(actual.ravel().tolist()) == repr(expected.ravel().tolist()), check.id
    assert len(seen) > 10


# One of each way in which a script tells, by fault.
TELLING = [
    "conv swaps the axes of stride",
    "conv computes in half precision",
    "conv rounds its first array as TF32 does",
    "conv returns float64",
    "conv returns a list",
    "conv takes NaN for 0",
    "conv adds to the last answer",
    "conv changes its first array",
    "conv shares its sums between callers",
    "conv returns one buffer for all calls",
    "conv_grad_input flips grad_output",
    "conv_grad_weight is averaged over the batch",
    "conv_transpose_grad_weight ignores padding",
    "max_pool takes the last of equals",
    "max_pool points into the window",
    "max_pool_values ignores NaN",
    "max_pool_grad_input keeps the last of overlapping windows",
    "max_pool_grad_input looks for the largest again whatever the indices",
    "avg_pool counts the ceil overhang",
    "relu loses the sign of zero",
    "relu flushes subnormal numbers",
    "linear sums 16 features at most",
]


def status_of(source: str) -> int:
    """What the script exits with."""
    with pytest.raises(SystemExit) as ended:
        exec(source, {"__name__": "__main__"})
    return int(ended.value.code or 0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", TELLING)
def test_a_script_tells_wrong_from_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = BY_NAME[name]
    backend = fault.backend()
    kill = first_kill(backend, checks_for(fault.kernel))
    assert kill is not None
    source = script(backend, "zoo", *kill, ROOT)
    code = source.split('"""')[2].split("\n\n", 1)[1]
    assert len(code.strip().splitlines()) <= 30
    monkeypatch.setitem(sys.modules, "zoo", fault.backend().module)
    if fault.crashes:
        with pytest.raises(Exception, match=r"."):
            exec(source, {})
    else:
        assert status_of(source) == 1
    right = made({fault.kernel: right_kernel(fault.kernel)}).module
    monkeypatch.setitem(sys.modules, "zoo", right)
    assert status_of(source) == 0


# ------------------------------------------------------------------------------ from a run

EINSUM = '''"""Convolution as one einsum over sliding windows."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def conv(input, weight, bias, *, stride, padding, dilation, groups):
    padded = np.pad(input, ((0, 0), (0, 0), *padding))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:])]
    windows = sliding_window_view(padded, reach, axis=(2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    n, c, p, q, r, s = windows.shape
    grouped = windows.reshape(n, groups, c // groups, p, q, r, s)
    kernels = weight.reshape(groups, len(weight) // groups, c // groups, r, s)
    output = np.einsum("ngcpqrs,gocrs->ngopq", grouped, kernels).reshape(n, len(weight), p, q)
    return output if bias is None else output + bias[:, None, None]
'''


def test_a_run_leaves_scripts_that_need_numpy_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    backend = folder / "einsum.py"
    backend.write_text(EINSUM.replace("bias[:, None, None]", "bias[:, None, None] * 2"))
    stored = tmp_path / "out" / "checks.jsonl"
    asked = ("--backend", backend, "--level", "document", "-k", "conv2d", "--jsonl", stored)
    done = run("conformance", *asked)
    assert done.returncode == 1
    told = [row for row in rows(stored) if row.get("explanation")]
    # The first failure of a kernel and kind of check, and no other.
    assert [(row["kind"], row["op"]) for row in told] == [("values", "conv2d")]
    assert len([row for row in rows(stored) if row.get("status") == "failed"]) > 1
    explanation = told[0]["explanation"]
    assert f"repeat: {told[0]['repeat']}\n{explanation}" in done.stdout
    assert "looks like: conv adds the bias twice; " in explanation
    (line,) = re.findall("^script: python (.*)$", explanation, re.MULTILINE)
    (path,) = (stored.parent / "failures").iterdir()
    assert (ROOT / line).resolve() == path.resolve()
    source = path.read_text()
    assert re.findall(r"^(?:import|from) (.*)", source, re.MULTILINE) == [
        "runpy, sys",
        "numpy as np",
    ]

    def run_again() -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-I", str(path)]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    wrong = run_again()
    assert wrong.returncode == 1, wrong.stderr
    assert re.search(r"^output\[\d, \d, \d, \d\]=\S+, but should be \S+$", wrong.stdout, re.M)
    backend.write_text(EINSUM)
    mended = run_again()
    assert mended.returncode == 0, mended.stderr
    assert mended.stdout == "0 of these 4 elements are wrong\n"


def test_as_many_failures_are_explained_as_help(tmp_path: Path) -> None:
    explain = Explainer(tmp_path, tmp_path)
    backend = BY_NAME["conv ignores padding"].backend()
    failed = [
        (check, verdict)
        for check in checks_for("conv")
        if check.kind in ("values", "shapes") and check.kernel == "conv"
        if (verdict := judge(backend, check)).status is Status.FAILED
    ][:3]
    assert len(failed) == 3
    told = [explain(backend, "zoo", *each) for each in failed]
    assert told[0]
    assert told[1:] == ["", ""]
    # Another backend's count is its own; so many kinds of checks are explained, and no more.
    explain.told["full"] = {("kernel", str(number)) for number in range(MOST)}
    assert explain(backend, "full", *failed[0]) == ""
    assert explain(backend, "other", *failed[0])
