"""The op records themselves: plans agree with PyTorch, and every case can tell what it is for."""

from collections.abc import Iterator
from inspect import Parameter
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy import ndarray

from conformance import inputs, oracle
from conformance.covering import cases
from conformance.verdict import why_untrusted
from impls.spec.case import LEVELS, TAGS, Array, Case, ErrorCase
from impls.spec.interface import kernel_params
from impls.spec.op import OpSpec
from impls.spec.ops import OPS
from impls.spec.plan import Params

CASES = [
    pytest.param(op, case, id=f"{op.name}-{case.id}")
    for op in OPS.values()
    for case in (*op.cases, *(made.case for made in cases(op)))
]
SET = [
    pytest.param(op, case, name, id=f"{op.name}-{case.id}-{name}")
    for op in OPS.values()
    for case in op.cases
    for name in case.params
]
Answer = tuple[ndarray, ...]


def operands(op: OpSpec, case: Case) -> list[ndarray]:
    """Exact data for a case, none of it zero: whatever a parameter moves then shows."""
    arrays = inputs.arrays("exact", case.shapes, "float64", case.id, inputs.NARROW)
    return [np.where(array == 0, 5.0, array) for array in arrays]


def answer(op: OpSpec, case: Case, params: Params) -> Answer | None:
    """PyTorch's output and input gradient (and indices); None where it refuses the call."""
    arrays = operands(op, case)
    tensors = [torch.from_numpy(array).requires_grad_() for array in arrays]
    try:
        result = op.oracle(F, *tensors, **params)
    except (RuntimeError, TypeError, ValueError):
        return None
    output, *indices = result if isinstance(result, tuple) else (result,)
    if output.numel() == 0:
        return None
    weights = torch.arange(1.0, 1.0 + output.numel(), dtype=torch.float64).reshape(output.shape)
    gradients = torch.autograd.grad(output, tensors, weights, materialize_grads=True)
    return tuple(x.detach().numpy() for x in (output, *gradients, *indices))


def same(one: Answer | None, other: Answer | None) -> bool:
    """Whether two answers are equal; a refusal equals none."""
    if one is None or other is None:
        return one is other
    return all(a.shape == b.shape and (a == b).all() for a, b in zip(one, other, strict=True))


# ----------------------------------------------------------------------------------- every case


@pytest.mark.parametrize("op, case", CASES)
def test_the_plan_has_pytorchs_shape(op: OpSpec, case: Case) -> None:
    arrays = inputs.arrays("exact", case.shapes, "float64", case.id, inputs.NARROW)
    plan = op.plan_case(case)
    assert op.unbatched(case.shapes[0], plan.output) == oracle.output_shape(op, arrays, case.params)
    assert set(plan.params) == set(kernel_params(op))


@pytest.mark.parametrize("op, case", CASES)
def test_every_sum_of_a_case_is_exact(op: OpSpec, case: Case) -> None:
    terms = op.terms(op.plan_case(case))
    assert set(terms) >= {"forward", *(f"grad_{operand.name}" for operand in op.operands)}
    for direction, count in terms.items():
        assert count * inputs.NARROW**2 < 2**24, direction
        # The bias is a summand more.
        widest = inputs.widest(count, "float32", products=len(op.operands) > 1)
        assert (count + 1) * widest ** (2 if len(op.operands) > 1 else 1) <= 2**24, direction


@pytest.mark.parametrize("op, case", CASES)
def test_what_is_expected_can_be_trusted_or_says_why_not(op: OpSpec, case: Case) -> None:
    reasons = list(_untrusted(op, case))
    assert bool(reasons) == bool(case.vacuous), reasons or f"vacuous={case.vacuous!r} is not needed"


def _untrusted(op: OpSpec, case: Case) -> Iterator[str]:
    """Why the expected results of a case prove little, in any direction the suite asks for."""
    plan = op.plan_case(case)
    shape = op.unbatched(case.shapes[0], plan.output)
    for direction in op.directions[: 1 + len(case.shapes)]:
        for filling in ("exact", "real"):
            arrays = inputs.arrays(filling, case.shapes, "float64", case.id, inputs.NARROW)
            (grad_output,) = inputs.arrays(
                filling, (shape,), "float64", f"grad_output {case.id}", inputs.NARROW
            )
            arrays = [inputs.laid_out(array, case.layout) for array in arrays]
            grad_output = inputs.laid_out(grad_output, case.layout)
            expected = oracle.answer(op, arrays, grad_output, case.params, direction)
            if reason := why_untrusted(f"{direction} of {filling}", expected.results[direction]):
                yield reason


@pytest.mark.parametrize("op, case, name", SET)
def test_every_parameter_of_a_case_matters(op: OpSpec, case: Case, name: str) -> None:
    kept = {key: value for key, value in case.params.items() if key != name}
    if op.signature.parameters[name].default is Parameter.empty:
        return  # no call without it
    given = answer(op, case, case.params)
    if given is None:
        assert case.vacuous, "PyTorch refuses the case, or its output is empty"
        return
    without = answer(op, case, kept)
    if name in case.same_as_default:
        assert without is not None
        assert same(given, without), f"{name} changes something: take it out of same_as_default"
    else:
        # A call that is not legal without it shows that it matters.
        assert without is None or not same(given, without), f"{name} changes nothing"


@pytest.mark.parametrize("op, case", CASES)
def test_only_what_a_case_sets_is_the_same_as_the_default(op: OpSpec, case: Case) -> None:
    assert set(case.same_as_default) <= set(case.params)


@pytest.mark.parametrize("op, case", CASES)
def test_ids_tell_every_parameter_and_levels_are_known(op: OpSpec, case: Case) -> None:
    assert case.level in LEVELS
    assert case.why
    assert set(case.params) <= set(TAGS)
    assert len(case.id.split("-")) >= len(case.shapes) + len(case.params)
    assert inputs.laid_out(np.zeros(3), case.layout).shape == (3,)


# -------------------------------------------------------------------------------- case lists


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_ids_and_reasons_are_unique(op: OpSpec) -> None:
    for words in (
        [case.id for case in op.cases],
        [case.why for case in op.cases],
        [error.id for error in op.errors],
    ):
        assert len(set(words)) == len(words)


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_every_parameter_is_set_in_some_case(op: OpSpec) -> None:
    assert {name for case in op.cases for name in case.params} == set(kernel_params(op))


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_every_level_and_layout_has_a_case(op: OpSpec) -> None:
    assert {case.level for case in op.cases} == set(LEVELS)
    assert {case.layout for case in op.cases} == set(inputs.LAYOUTS)
    assert any(0 in case.shapes[0] for case in op.cases) or op.batch_axes is None


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_every_optional_operand_is_given_and_left_out(op: OpSpec) -> None:
    given = {len(case.shapes) for case in op.cases}
    required = sum(not operand.optional for operand in op.operands)
    assert given == set(range(required, len(op.operands) + 1))


# -------------------------------------------------------------------------------- error cases

# What PyTorch answers and the gate refuses, each with its reason (DESIGN.md, section 2.1).
DTYPE = "PyTorch has this dtype too; here float32 and float64 alone are promised"
BEYOND_PYTORCH = {
    ("avg_pool2d", "float16"): DTYPE,
    ("avg_pool2d", "integers"): DTYPE,
    ("conv2d", "dtype complex64"): DTYPE,
    ("conv2d", "dtype float16"): DTYPE,
    ("conv2d", "dtype int32"): DTYPE,
    ("conv2d", "dtype int64"): DTYPE,
    ("linear", "integers"): DTYPE,
    ("max_pool2d", "integers"): DTYPE,
    ("relu", "integers"): DTYPE,
    ("conv2d", "no channels"): "PyTorch answers without output channels, whatever the weight says",
    ("conv2d", "one of four paddings negative"): "the oracle pads by F.pad, which crops then",
    ("global_avg_pool2d", "a plane without rows"): "PyTorch's mean of nothing is NaN",
    ("image_to_patches", "patch_size does not divide the height"): "F.unfold leaves a rest out",
    ("image_to_patches", "patch_size does not divide the width"): "F.unfold leaves a rest out",
    ("linear", "bias of one"): "PyTorch broadcasts it",
    ("linear", "weight of rank 1"): "PyTorch takes it as one output without its axis",
    ("max_pool2d", "a window without one valid place"): "PyTorch's backward corrupts memory there",
}
FORWARD_ERRORS = [
    pytest.param(op, error, id=error.id)
    for op in OPS.values()
    for error in op.errors
    if error.method == op.name
]


@pytest.mark.parametrize("op, error", FORWARD_ERRORS)
def test_pytorch_refuses_what_is_refused_here(op: OpSpec, error: ErrorCase) -> None:
    def call() -> None:
        op.oracle(F, **{name: _as_pytorch(value) for name, value in error.arguments.items()})

    if (op.name, error.why) in BEYOND_PYTORCH:
        call()
        return
    with pytest.raises((RuntimeError, TypeError, ValueError, AttributeError, IndexError)):
        call()


def _as_pytorch(value: Any) -> Any:
    if not isinstance(value, Array):
        return value
    return torch.from_numpy(np.full(value.shape, value.fill, dtype=value.dtype))


def test_all_that_goes_beyond_pytorch_is_still_asked() -> None:
    assert set(BEYOND_PYTORCH) <= {
        (op.name, error.why) for op in OPS.values() for error in op.errors
    }


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_error_cases_call_the_op_and_its_gradients(op: OpSpec) -> None:
    assert {error.method for error in op.errors} == {op.name, f"{op.name}_backward"}
    for error in op.errors:
        assert issubclass(error.raises, ValueError | TypeError)
        assert error.says
