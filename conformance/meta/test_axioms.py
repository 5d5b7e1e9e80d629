"""What NumPy judges alone: how much of the zoo it sees, and that it needs no PyTorch."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from numpy import ndarray

import impls
from conformance import jsonl
from conformance.axioms import AXIOMS
from conformance.checks import Check, up_to
from conformance.judge import judge
from conformance.meta.faults import FAULTS, GATE, Fault, made, op_of
from conformance.meta.matrix import LIKELY, kind_of, likelihood
from conformance.meta.rights import RIGHTS, Right
from conformance.meta.test_verdict import first_kill
from conformance.verdict import BAD, Status
from impls.spec.ops import OPS

ROOT = Path(__file__).resolve().parents[2]
BY_NAME = {fault.name: fault for fault in FAULTS}
# Which faults axioms cannot see, and why.
SURVIVORS: dict[str, str] = {}


@cache
def checks_for(kernel: str) -> list[Check]:
    """The checks of a kernel's op, those of its own first; of a gate's method also the errors."""
    op, is_kernel = op_of(kernel), not kernel.startswith(GATE)
    kernel = kernel.removesuffix("_values")
    of_op = [
        check
        for check in up_to("extended", "none")
        if check.op is op and not (is_kernel and check.kind == "errors")
    ]

    def order(check: Check) -> tuple[bool, int, bool]:
        place = likelihood(check.aspect)
        is_rare = check.kind == "axioms" and place == len(LIKELY)
        return check.kernel != kernel, place + is_rare, check.dtype != "float64"

    return sorted(of_op, key=order)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_caught_without_an_oracle(fault: Fault) -> None:
    likely_first = sorted(
        checks_for(fault.kernel), key=lambda check: kind_of(check) != fault.expected
    )
    kill = first_kill(fault.backend(), likely_first)
    if fault.name in SURVIVORS:
        assert kill is None, f"{fault.name} is caught now: it no longer survives"
        return
    assert kill is not None, f"{fault.name} survives all axioms of {fault.op.name}"
    verdict = kill[1]
    # A fault that crashes by mistake would prove nothing.
    assert verdict.status is Status.FAILED or fault.crashes, verdict.message


def test_survivors_are_faults() -> None:
    assert SURVIVORS.keys() <= BY_NAME.keys()


@pytest.mark.parametrize("right", RIGHTS, ids=lambda right: right.name)
def test_a_right_backend_fulfills_every_axiom(right: Right) -> None:
    """One check in three: all of them take a minute for a backend that is otherwise throughout."""
    backend = right.backend()
    refused = [
        verdict.message
        for check in up_to("extended", "none")[::3]
        if check.kind == "axioms"
        and check.kernel in right.kernels
        and not (right.spreads_nan and check.aspect == "dye")
        and (verdict := judge(backend, check)).status in BAD
    ]
    assert refused == []


# Faults, and an axiom that sees each.
SEEN = (
    ("conv adds to the last answer", "notation"),
    ("conv drops images past 4", "batch"),
    ("conv_grad_weight is not initialized for an empty batch", "empty_sum"),
    ("linear is not initialized without features", "empty_sum"),
    ("conv computes in half precision", "additive"),
    ("conv flushes subnormal numbers", "scaling"),
    ("linear takes infinity for the largest finite number", "dye"),
    ("linear_grad_weight spreads NaN over the features", "dye"),
    ("conv_transpose_grad_weight takes the sign of grad_output alone", "dye"),
    ("linear adds the bias twice", "bias"),
    ("conv gives each group the first one's channels", "groups"),
    ("conv sums 256 products at most", "channels"),
    ("conv_transpose sums 16 channels at most", "channels"),
    ("conv ignores dilation on columns", "dilation"),
    ("conv_transpose keeps the last of overlapping kernels", "visits"),
    ("conv takes the padding after for the one before", "padding"),
    ("conv ignores stride where the kernel is 1 x 1", "stride"),
    ("conv drops the last row", "translation"),
    ("conv flips the kernel", "taps"),
    ("conv_transpose takes the padding after for the one before", "padding"),
    ("conv_transpose fills the strip of output_padding with zeros", "output_padding"),
    ("conv_transpose swaps the axes of stride", "stride"),
    ("conv_transpose drops the last row", "translation"),
    ("conv_transpose flips the rows of the kernel", "taps"),
    ("conv_transpose transposes a square kernel", "adjointness"),
    ("linear takes the weight's transpose where it is square", "taps"),
    ("max_pool takes the largest magnitude", "largest"),
    ("max_pool ignores NaN", "largest of specials"),
    ("max_pool starts at the lowest finite number", "largest of specials"),
    ("max_pool takes the last of equals", "first_place"),
    ("max_pool takes the first NaN", "first_place of specials"),
    ("max_pool points to place 0 where all is -inf", "first_place of specials"),
    ("max_pool takes the largest magnitude", "monotone"),
    ("max_pool_grad_input looks for the largest again whatever the indices", "scattered"),
    ("max_pool_grad_input gives all equals the gradient", "scattered of specials"),
    ("avg_pool clips rows by the columns' padding", "sums"),
    ("avg_pool never counts padding", "constants"),
    ("avg_pool counts the ceil overhang", "as_convolution"),
    ("avg_pool starts in the input whatever the padding", "visits"),
    ("global_avg_pool misses the last row", "sums"),
    ("global_avg_pool divides by the height squared", "constants"),
    ("relu leaks", "odd_part"),
    ("relu loses the sign of zero", "odd_part of specials"),
    ("relu stops at 6", "even_part"),
    ("relu takes NaN for 0", "even_part of specials"),
    ("relu_grad_input is 1 at 0", "gate"),
    ("relu_grad_input is 0 at NaN", "gate of specials"),
    ("image_to_patches runs column by column", "slices"),
    ("image_to_patches_grad_image is averaged over a patch", "inverse"),
    ("conv_grad_weight belongs to the next group", "adjoint"),
    ("conv_grad_input flips grad_output", "steps"),
    ("linear_grad_weight is averaged over rows", "steps"),
    ("conv_transpose_grad_weight belongs to the next group", "steps"),
    ("linear_grad_bias counts elements", "steps"),
    ("avg_pool_grad_input counts the ceil overhang", "steps"),
    ("max_pool_grad_input keeps the last of overlapping windows", "steps"),
    ("image_to_patches_grad_image leaves the last row out", "steps"),
)


@pytest.mark.parametrize("name, axiom", SEEN)
def test_an_axiom_sees_a_fault(name: str, axiom: str) -> None:
    fault = BY_NAME[name]
    asked = [check for check in checks_for(fault.kernel) if check.aspect == axiom]
    kill = first_kill(fault.backend(), asked)
    assert kill is not None
    assert kill[1].status is Status.FAILED, kill[1].message
    assert f", by {axiom}: " in kill[1].message


def test_every_axiom_is_seen_to_see() -> None:
    seen = [(BY_NAME[name], axiom) for name, axiom in SEEN]
    blind = [
        axiom.name
        for axiom in AXIOMS
        if not any(
            axiom.name == name
            and fault.op.name in axiom.ops
            and fault.kernel in map(fault.op.kernel_of, axiom.directions)
            for fault, name in seen
        )
    ]
    assert blind == []


@pytest.mark.parametrize("name", OPS)
def test_notation_sees_a_gate_that_misreads_memory(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def misread(array: ndarray, shape: tuple[int, ...]) -> ndarray:
        return array.ravel(order="K").reshape(shape)

    asked = [check for check in up_to("extended", "none") if check.aspect == "notation"]
    asked = [check for check in asked if check.op.name == name]
    assert first_kill(impls.get("im2col"), asked) is None
    monkeypatch.setattr(impls.backend, "prepared", misread)
    kill = first_kill(impls.get("im2col"), asked)
    assert kill is not None
    assert "by notation: f(case as written) = " in kill[1].message


def test_numpy_judges_alone(tmp_path: Path) -> None:
    """PyTorch cannot be imported; the lines that repeat failures ask for none either."""
    (tmp_path / "torch.py").write_text("raise ImportError('there is no PyTorch here')")
    (tmp_path / "leaky.py").write_text("def relu(input):\n    return input * (input > -3)\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "conformance"]
    arguments = ["--oracle=none", "--backend=im2col", f"--backend={tmp_path / 'leaky.py'}"]
    selected = ["-k", "relu or image_to_patches", f"--jsonl={tmp_path / 'rows.jsonl'}"]
    found = subprocess.run(
        [*command, *arguments, *selected],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    recorded = jsonl.read(tmp_path / "rows.jsonl")
    rows = recorded.rows
    statuses = {(row["backend"], row["op"], row["status"]) for row in rows}
    assert found.returncode == 1, found.stdout
    assert recorded.header["oracle"] == "none"
    assert {status for name, op, status in statuses if name == "im2col"} == {"passed"}
    assert ("leaky", "relu", "failed") in statuses
    assert ("leaky", "image_to_patches", "missing") in statuses
    assert {row["kind"] for row in rows} == {"axioms", "errors", "interface", "purity"}
    assert ", by odd_part: relu(x) - relu(-x) = x" in found.stdout
    assert f"--backend {tmp_path / 'leaky.py'} --oracle none" in found.stdout


def test_a_missing_kernel_of_an_equation_is_missing() -> None:
    """avg_pool2d is also compared with conv2d, which this backend does not have."""
    backend = made({})
    vars(backend.module).pop("conv")
    asked = [check for check in checks_for("avg_pool") if check.aspect == "as_convolution"]
    verdict = judge(backend, asked[0])
    assert (verdict.status, verdict.message) == (Status.MISSING, "no kernel conv")


def test_a_declared_limit_of_an_equation_is_unsupported() -> None:
    """The dilated kernel is compared with a sparse one, which this backend refuses."""

    def unsupported(kernel: str, params: dict[str, object]) -> str:
        return "dense kernels only" if params.get("dilation") == (1, 1) else ""

    asked = [check for check in checks_for("conv") if check.aspect == "dilation"]
    verdict = judge(made({"unsupported": unsupported}), asked[0])
    assert verdict.status is Status.UNSUPPORTED
    assert "dense kernels only" in verdict.message
