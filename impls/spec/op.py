"""OpSpec: the record of one operation, which gate, conformance suite and bench all read."""

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from inspect import Signature, signature
from typing import Any

from numpy import ndarray

from impls.spec.case import Case, ErrorCase
from impls.spec.factors import Call, Factor
from impls.spec.plan import Plan, Shape

FORWARD = "forward"


@dataclass(frozen=True, slots=True)
class Operand:
    """An array that an operation takes.

    layout: its shape in words, for messages. ranks: how many axes it may have.
    """

    name: str
    layout: str
    ranks: Container[int]
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpSpec:
    """One operation, described once. Its name is PyTorch's.

    kernel: name of the backend function that computes it; gradients are `<kernel>_grad_<operand>`.
    operands: the arrays it takes; each has a gradient.
    plan: the public signature, names, order and defaults, with shapes in place of arrays; returns
        the Plan of a right call and raises ValueError for a wrong one. Its docstring is the user's.
    batch_axes: number of leading axes of the first operand, by its rank, that kernels see as one
        batch axis: 0 for an unbatched input; None where there is no batch.
    oracle: `oracle(F, *arrays, **params)`, the same call in PyTorch, whose F is injected.
    macs: nominal multiply-adds of a plan (cost.py).
    terms: per direction, how many products each result sums.
    linear: the op is linear in each operand: errors scale with the op on absolute values.
    exact: directions that only select or move values: exact for every input.
    signed_zero: the sign of a zero in the output counts.
    returns_indices: the kernel returns (output, indices), its gradient takes the indices.
    divisors: what results are divided by; None where nothing is.
    factors: what calls vary in. call: the call that a choice of one value of each factor makes.
    """

    name: str
    kernel: str
    operands: tuple[Operand, ...]
    plan: Callable[..., Plan]
    batch_axes: Callable[[int], int] | None
    oracle: Callable[..., Any]
    macs: Callable[[Plan], int]
    terms: Callable[[Plan], dict[str, int]]
    linear: bool
    exact: tuple[str, ...] = ()
    signed_zero: bool = False
    returns_indices: bool = False
    divisors: Callable[[Plan], ndarray] | None = None
    factors: dict[str, Factor] = field(default_factory=dict)
    call: Callable[..., Call] | None = None
    cases: tuple[Case, ...] = ()
    errors: tuple[ErrorCase, ...] = ()

    @property
    def directions(self) -> tuple[str, ...]:
        """("forward", "grad_input", ...): one for each array a backend computes."""
        return (FORWARD, *(f"grad_{operand.name}" for operand in self.operands))

    @property
    def signature(self) -> Signature:
        """Parameters of the public call; annotations left out, since the plan takes shapes."""
        bare = [
            parameter.replace(annotation=parameter.empty)
            for parameter in signature(self.plan).parameters.values()
        ]
        return Signature(bare)

    def kernel_of(self, direction: str) -> str:
        """Name of the backend function that computes a direction."""
        return self.kernel if direction == FORWARD else f"{self.kernel}_{direction}"

    def batched(self, shape: Shape) -> Shape:
        """Shape of the first operand as kernels see it."""
        if self.batch_axes is None:
            return shape
        lead = self.batch_axes(len(shape))
        size = 1
        for extent in shape[:lead]:
            size *= extent
        return (size, *shape[lead:])

    def unbatched(self, shape: Shape, output: Shape) -> Shape:
        """Shape of the caller's output, from the caller's first operand and the kernel's output."""
        if self.batch_axes is None:
            return output
        return (*shape[: self.batch_axes(len(shape))], *output[1:])

    def plan_case(self, case: Case) -> Plan:
        """The plan of a case."""
        first, *rest = case.shapes
        return self.plan(self.batched(first), *rest, **case.params)
