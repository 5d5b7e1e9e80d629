"""PyTorch's answers, in float64. networks.py builds whole networks with torch; nothing else
computes with it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy import ndarray

from conformance import inputs
from impls.spec.op import FORWARD, OpSpec
from impls.spec.plan import Params

# Cases are small: a second thread costs more than it saves, and its pool would spin beside the
# backend's own.
torch.set_num_threads(1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What PyTorch computes for one call, in float64.

    results: the output, and the gradient that was asked for, by direction; of a pool with indices
        also the gradient by the indices of its smallest values, as "... of other indices".
    magnitudes: the same sums over absolute values; rounding errors scale with them.
    indices: of a pool that has them.
    """

    results: dict[str, ndarray]
    magnitudes: dict[str, ndarray]
    indices: ndarray | None


def output_shape(op: OpSpec, arrays: list[ndarray], params: Params) -> tuple[int, ...]:
    """Shape of PyTorch's output."""
    return tuple(_output(op, _tensors(arrays), params)[0].shape)


def answer(
    op: OpSpec, arrays: list[ndarray], grad_output: ndarray, params: Params, direction: str
) -> Answer:
    """Output and one gradient of a call, and what their errors scale with."""
    results, indices = _evaluate(op, arrays, grad_output, params, direction)
    absolute = [np.abs(array) for array in arrays] if op.linear else arrays
    sizes, _ = _evaluate(op, absolute, np.abs(grad_output), params, direction)
    # A negative divisor_override makes them negative.
    return Answer(results, {name: np.abs(size) for name, size in sizes.items()}, indices)


def _evaluate(
    op: OpSpec, arrays: list[ndarray], grad_output: ndarray, params: Params, direction: str
) -> tuple[dict[str, ndarray], ndarray | None]:
    tensors = _tensors(arrays)
    output, indices = _output(op, tensors, params)
    results = {FORWARD: output.detach().numpy()}
    if direction != FORWARD:
        wrt = tensors[op.directions.index(direction) - 1]
        (gradient,) = torch.autograd.grad(output, wrt, torch.from_numpy(_float64(grad_output)))
        results[direction] = gradient.numpy()
        if op.returns_indices:
            plan = op.plan(op.batched(arrays[0].shape), **params)
            others = torch.from_numpy(inputs.smallest_places(plan, arrays[0]))
            results[f"{direction} of other indices"] = _scattered(grad_output, others, arrays[0])
    return results, None if indices is None else indices.numpy()


def _scattered(grad_output: ndarray, indices: torch.Tensor, input: ndarray) -> ndarray:
    """Every gradient added at its place of the plane; shape of input."""
    planes = torch.zeros((*input.shape[:-2], input.shape[-2] * input.shape[-1])).double()
    given = torch.from_numpy(_float64(grad_output))
    summed = planes.scatter_add(-1, indices.flatten(-2), given.flatten(-2))
    return summed.reshape(input.shape).numpy()


def _output(op: OpSpec, tensors: list[torch.Tensor], params: Params) -> tuple[Any, Any]:
    result = op.oracle(F, *tensors, **params)
    return result if isinstance(result, tuple) else (result, None)


def _tensors(arrays: list[ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(_float64(array)).requires_grad_() for array in arrays]


def _float64(array: ndarray) -> ndarray:
    """A float64 copy: what torch is given is never what the backend is given."""
    return np.array(array, dtype=np.float64, order="C")
