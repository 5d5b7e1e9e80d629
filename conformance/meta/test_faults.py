"""Each faulty backend is caught, by the check that should; each right one passes them all."""

from functools import cache

import pytest

from conformance.checks import Check, up_to
from conformance.judge import judge
from conformance.meta.faults import FAULTS, Fault, made, right_kernel
from conformance.meta.rights import NAMES, RIGHTS, Right
from conformance.verdict import BAD, Status, Verdict
from impls import im2col
from impls.backend import Backend
from impls.spec.interface import KERNELS

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


def first_kill(backend: Backend, checks: list[Check]) -> tuple[Check, Verdict] | None:
    """The first check that fails, with its verdict."""
    for check in checks:
        verdict = judge(backend, check)
        if verdict.status in (Status.FAILED, Status.ERROR):
            return check, verdict
    return None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_caught(fault: Fault) -> None:
    kill = first_kill(fault.backend(), checks_for(fault.kernel))
    if fault.survives:
        assert kill is None, f"{fault.name} is caught now: it no longer survives"
        return
    assert kill is not None, f"{fault.name} survives all checks of {fault.op.name}"
    verdict = kill[1]
    assert f"[{fault.op.name}" in verdict.message
    # A fault that crashes by mistake would prove nothing.
    assert verdict.status is Status.FAILED or fault.crashes, verdict.message


def test_names_are_unique_and_every_kernel_has_its_faults() -> None:
    assert len(BY_NAME) == len(FAULTS)
    assert {fault.kernel for fault in FAULTS} == set(KERNELS)
    caught = [fault for fault in FAULTS if not fault.survives]
    assert len(caught) >= 300


# Which kind of check catches it, the aspect of purity included.
KILLERS = {
    "relu works in place": ("purity", "inputs_unchanged"),
    "relu_grad_input works in place": ("purity", "no_aliasing"),
    "conv changes its first array": ("purity", "inputs_unchanged"),
    "conv_grad_weight changes its first array": ("purity", "inputs_unchanged"),
    "avg_pool_grad_input divides grad_output in place": ("purity", "inputs_unchanged"),
    "conv returns one buffer for all calls": ("purity", "no_aliasing"),
    "linear returns one buffer for all calls": ("purity", "no_aliasing"),
    "conv adds to the last answer": ("purity", "same_bits_twice"),
    "linear_grad_weight adds to the last answer": ("purity", "same_bits_twice"),
    "conv_transpose shares its sums between callers": ("purity", "same_bits_for_16_callers"),
    "max_pool_grad_input shares its sums between callers": ("purity", "same_bits_for_16_callers"),
    "conv_grad_weight is averaged over the batch": ("purity", "same_bits_in_any_batch"),
    "relu loses the sign of zero": ("specials", ""),
    "relu takes NaN for 0": ("specials", ""),
    "relu_grad_input is 0 at NaN": ("specials", ""),
    "max_pool takes the first NaN": ("specials", ""),
    "max_pool ignores NaN": ("specials", ""),
    "max_pool_values ignores NaN": ("specials", ""),
    "max_pool starts at the lowest finite number": ("specials", ""),
    "max_pool points to place 0 where all is -inf": ("specials", ""),
    "max_pool points into the padded image": ("values", ""),
    "max_pool points into the window": ("values", ""),
    "max_pool takes the last of equals": ("values", ""),
    "max_pool pads with 0": ("values", ""),
    "max_pool_grad_input gives all equals the gradient": ("gradients", ""),
    "avg_pool always counts padding": ("values", ""),
    "avg_pool counts the ceil overhang": ("values", ""),
    "avg_pool_grad_input counts the ceil overhang": ("gradients", ""),
    "conv swaps the axes of stride": ("values", ""),
    "conv ignores stride where the kernel is 1 x 1": ("values", ""),
    "conv computes in half precision": ("values", ""),
    "conv computes float64 in float32": ("values", ""),
    "conv_grad_input is not initialized where no window looks": ("gradients", ""),
    "conv_grad_input flips grad_output": ("gradients", ""),
    "conv_transpose fills the strip of output_padding with zeros": ("values", ""),
    "conv returns Fortran order": ("shapes", ""),
    "conv returns float64": ("shapes", ""),
    "conv returns a list": ("shapes", ""),
    "conv returns a subclass": ("shapes", ""),
    "conv returns channels last": ("shapes", ""),
    "max_pool returns int32 indices": ("shapes", ""),
    "max_pool returns no indices": ("shapes", ""),
    "conv_transpose ignores output_padding": ("shapes", ""),
    "conv flushes subnormal numbers": ("specials", ""),
    "avg_pool flushes subnormal numbers": ("specials", ""),
    "conv takes infinity for the largest finite number": ("dye", ""),
    "conv_grad_weight spreads NaN over the channels": ("dye", ""),
    "linear clears the signs of its input's zeros": ("purity", "inputs_unchanged"),
    "max_pool_grad_input moves its indices into the batch": ("gradients", ""),
}


@pytest.mark.parametrize("name", KILLERS)
def test_a_fault_is_caught_by_its_own_kind_of_check(name: str) -> None:
    fault, (kind, aspect) = BY_NAME[name], KILLERS[name]
    asked = [c for c in checks_for(fault.kernel) if (c.kind, c.aspect) == (kind, aspect)]
    kill = first_kill(fault.backend(), asked)
    assert kill is not None
    assert kill[1].status is Status.FAILED, kill[1].message


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
    fault = BY_NAME[name]
    backend = fault.backend()
    backend.accuracy = "transform"
    assert first_kill(backend, checks_for(fault.kernel)) is not None


@pytest.mark.parametrize(
    "signature",
    [
        "lambda input, weight, *, stride, padding, dilation, groups: None",
        "lambda input, weight, bias, *, stride, padding, dilation: None",
        "lambda input, weight, bias, extra, *, stride, padding, dilation, groups: None",
        "lambda input, weight, bias, *, stride, padding, dilation, groups, layout: None",
    ],
)
def test_a_wrong_signature_is_caught_without_a_call(signature: str) -> None:
    asked = [check for check in checks_for("conv") if check.kind == "interface"]
    kill = first_kill(made({"conv": eval(signature)}), asked)
    assert kill is not None
    assert "but should take (input, weight, bias, *, stride" in kill[1].message


@pytest.mark.parametrize("right", RIGHTS, ids=lambda right: right.name)
def test_a_right_backend_is_accepted(right: Right) -> None:
    backend = right.backend()
    refused = [
        verdict.message
        for check in up_to("extended")
        if check.kernel in right.kernels
        and not (right.spreads_nan and check.kind == "dye")
        and (verdict := judge(backend, check)).status in BAD
    ]
    assert refused == []


def test_what_spreads_nan_is_caught_by_the_dye_alone() -> None:
    (right,) = [right for right in RIGHTS if right.spreads_nan]
    dyed = [c for c in checks_for("conv") if c.kind == "dye" and c.kernel == "conv"]
    kill = first_kill(right.backend(), dyed)
    assert kill is not None
    assert "=nan, but should be" in kill[1].message


def test_right_kernels_are_right() -> None:
    """What faults are made from: a fault would be caught for another reason otherwise."""
    for kernel in KERNELS:
        backend = made({kernel: right_kernel(kernel)})
        assert first_kill(backend, checks_for(kernel)[::7]) is None, kernel
    assert all(hasattr(im2col, name) for name in NAMES)
