"""Each faulty backend is caught, by the check that should; each right one passes them all."""

import pytest

from conformance.meta import matrix
from conformance.meta.faults import FAULTS, Fault, made, methods, op_of, right_kernel
from conformance.meta.matrix import asked, first_kill, reaching
from conformance.meta.rights import NAMES, RIGHTS, Right
from conformance.verdict import Status
from impls import im2col
from impls.spec.interface import KERNELS
from impls.spec.ops import OPS


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_caught_by_the_kind_of_check_that_should(fault: Fault) -> None:
    questions = [question for question in asked(fault) if question.kind == fault.expected]
    kill = first_kill(fault.backend(), questions)
    assert kill is not None, f"{fault.name} survives {len(questions)} checks of {fault.expected}"
    verdict = kill[1]
    assert f"[{fault.op.name}" in verdict.message
    # A fault that crashes by mistake would prove nothing.
    assert verdict.status is Status.FAILED or fault.crashes, verdict.message


def test_names_are_unique_and_every_kernel_and_method_has_its_faults() -> None:
    assert len(matrix.BY_NAME) == len(FAULTS) + len(RIGHTS)
    of_gate = {method for op in OPS for method in methods(op)}
    assert {fault.kernel for fault in FAULTS} == {*KERNELS, *of_gate}
    assert len(FAULTS) >= 500


@pytest.mark.parametrize(
    "name",
    [
        "conv swaps the axes of stride",
        "conv takes the padding after for the one before",
        "conv ignores the bias",
        "conv computes in half precision",
        "conv computes float64 in float32",
        "conv zeroes one corner",
        "conv drops channels past 32",
        "conv rounds its first array as TF32 does",
        "conv flips the kernel",
        "conv_grad_input flips grad_output",
        "avg_pool counts the ceil overhang",
        "max_pool takes the last of equals",
        "relu leaks",
    ],
)
def test_a_transform_has_no_license_to_be_wrong(name: str) -> None:
    (fault,) = [fault for fault in FAULTS if fault.name == name]
    backend = fault.backend()
    backend.accuracy = "transform"
    assert first_kill(backend, asked(fault)) is not None


@pytest.mark.parametrize("right", RIGHTS, ids=lambda right: right.name)
def test_a_right_backend_is_accepted(right: Right) -> None:
    rows = [row for part in matrix.parts([right.name]) for row in matrix.rows(*part)]
    assert {row["kernel"] for row in rows} == set(right.kernels)
    assert list(matrix.wrongs(rows)) == []
    assert all(row["asked"] for row in rows)


def test_what_spreads_nan_is_caught_by_the_dye_alone() -> None:
    (right,) = [right for right in RIGHTS if right.spreads_nan]
    dyes = [question for question in reaching(OPS["conv2d"], "conv") if question.kind == "dye"]
    kill = first_kill(right.backend(), dyes)
    assert kill is not None
    assert "=nan, but should be" in kill[1].message


def test_a_transform_that_claims_to_be_direct_is_caught() -> None:
    (right,) = [right for right in RIGHTS if right.name == "FFT"]
    backend = right.backend()
    backend.accuracy = "direct"
    assert first_kill(backend, reaching(OPS["conv2d"], "conv")) is not None


def test_right_kernels_are_right() -> None:
    """What faults are made from: a fault would be caught for another reason otherwise."""
    for kernel in KERNELS:
        backend = made({kernel: right_kernel(kernel)})
        questions = reaching(op_of(kernel), kernel.removesuffix("_values"))
        assert first_kill(backend, questions[::7]) is None, kernel
    assert all(hasattr(im2col, name) for name in NAMES)


def test_a_gate_without_a_fault_is_right() -> None:
    """What faulty gates are made from: every argument handed over by its name."""
    for op in OPS:
        for method in methods(op):
            right = Fault(method, "does nothing wrong", lambda right, **given: right(**given))
            assert first_kill(right.backend(), asked(right)[::7]) is None, method
