"""What an arm runs: one workload and direction, on a backend or on PyTorch, on the same arrays."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy import ndarray

from bench.workloads.workload import Workload
from conformance import oracle, tolerance
from conformance.verdict import differences
from impls.backend import Backend
from impls.spec.case import seed
from impls.spec.op import FORWARD, OpSpec
from impls.spec.ops import OPS

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Problem:
    """The arrays of one workload and direction: standard normal, the same in every process."""

    workload: Workload
    op: OpSpec
    direction: str
    operands: tuple[ndarray, ...]
    grad_output: ndarray


def problem(workload: Workload, direction: str, dtype: str) -> Problem:
    """Fresh arrays for a workload, from a seed made of its name."""
    op, case = OPS[workload.op], workload.case
    rng = np.random.default_rng(seed(workload.name))
    shapes = (*case.shapes, op.unbatched(case.shapes[0], workload.plan.output))
    *operands, grad_output = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    return Problem(workload, op, direction, tuple(operands), grad_output)


def backend_call(backend: Backend, problem: Problem) -> Callable[[], ndarray]:
    """The call as a user of the backend writes it, through the gate.

    A gradient has what a forward pass before it leaves: the indices of the largest.
    """
    op, params = problem.op, problem.workload.case.params
    if problem.direction == FORWARD:
        method = getattr(backend, op.name)
        return lambda: method(*problem.operands, **params)
    method = getattr(backend, f"{op.name}_backward")
    names = [operand.name for operand in op.operands if not operand.optional]
    given = problem.operands[: len(names)]
    if op.returns_indices:
        _, indices = getattr(backend, op.name)(*given, **params, return_indices=True)
        return lambda: method(problem.grad_output, *given, **params, indices=indices)
    if len(op.operands) == 1:
        return lambda: method(problem.grad_output, *given, **params)
    mask = tuple(f"grad_{operand.name}" == problem.direction for operand in op.operands)
    wanted = mask.index(True)
    return lambda: method(problem.grad_output, *given, **params, output_mask=mask)[wanted]


def torch_call(problem: Problem) -> Call:
    """The same call in PyTorch, NCHW and eager; a gradient alone, its forward pass done before."""
    op, params = problem.op, problem.workload.case.params
    tensors = [torch.from_numpy(array) for array in problem.operands]
    if problem.direction == FORWARD:

        def forward() -> object:
            with torch.inference_mode():
                return op.oracle(F, *tensors, **params)

        return forward
    wrt = tensors[op.directions.index(problem.direction) - 1].requires_grad_()
    output = op.oracle(F, *tensors, **params)
    output = output[0] if isinstance(output, tuple) else output
    grad_output = torch.from_numpy(problem.grad_output)
    return lambda: torch.autograd.grad(output, wrt, grad_output, retain_graph=True)


def wrong(problem: Problem, result: ndarray, accuracy: str) -> tuple[str, float]:
    """(How a result differs from PyTorch's float64 answer or "", its grade)."""
    op, dtype = problem.op, str(result.dtype)
    operands, params = list(problem.operands), problem.workload.case.params
    answer = oracle.answer(op, operands, problem.grad_output, params, problem.direction)
    expected = answer.results[problem.direction]
    if result.shape != expected.shape:
        return f"shape={result.shape}, but should be {expected.shape}", float("nan")
    magnitude = answer.magnitudes[problem.direction]
    terms = op.terms(problem.workload.plan)[problem.direction]
    error = np.abs(result.astype(np.float64) - expected)
    grade = tolerance.grade(error, magnitude, terms, dtype)
    if problem.direction in op.exact:
        return differences(problem.direction, result, expected.astype(dtype)), grade
    if accuracy == "transform" and op.linear:
        limit = tolerance.transform_limit(magnitude, dtype)
        return differences(problem.direction, result, expected, limit), grade
    limit = tolerance.limit(magnitude, terms, dtype)
    message = differences(problem.direction, result, expected, limit)
    if not message and grade > tolerance.GRADE_LIMIT:
        message = f"grade={grade:.3g}, but should be at most {tolerance.GRADE_LIMIT:g}"
    return message, grade
