"""Trial: a case on a backend, called in variations. Equation: what must be equal then."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy import ndarray

from conformance import inputs, tolerance
from conformance.verdict import Evidence, Status
from impls.backend import Backend, KernelError
from impls.spec.case import Case
from impls.spec.op import FORWARD, OpSpec
from impls.spec.ops import OPS
from impls.spec.plan import Params, Plan, Shape

Fillings = tuple[str, ...]

# Multiply-adds of a case, at most, and of all finite differences of one: loops in Python take part.
MOST_MACS = 60_000
# Sums of two draws, steps of 1 and a bias stay exact too.
SLACK = 4


class Undecided(Exception):
    """A call that an equation needs is missing, or declared unsupported."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Equation:
    """Two sides of one equation, actual = expected; what: name of the array.

    factor: what multiplies the errors of the calls before the sides are compared.
    """

    what: str
    actual: ndarray
    expected: ndarray
    factor: float = 1.0


class Trial:
    """One case on one backend, to be called as an axiom needs it.

    plan: the case as kernels see it. params: the same, as a caller writes them. what: the name of
    the array that the direction answers.
    """

    def __init__(
        self, backend: Backend, op: OpSpec, case: Case, direction: str, dtype: str
    ) -> None:
        self.backend, self.op, self.case = backend, op, case
        self.direction, self.dtype = direction, dtype
        self.plan = op.plan_case(case)
        self.params = _public(self.plan)
        self.what = "output" if direction == FORWARD else direction
        self._magnitude = 0.0  # of all calls: what the errors of those that round scale with

    # ------------------------------------------------------------------------------------- data

    def drawn(self, filling: str, name: str, shape: Shape, width: int | None = None) -> ndarray:
        """An array as inputs.py fills it; as wide as sums stay exact if nothing is said."""
        label = f"{self.case.id} {name}"
        (made,) = inputs.arrays(filling, (shape,), self.dtype, label, width or self.width)
        return made

    def integers(self, name: str, shape: Shape, width: int | None = None) -> ndarray:
        """Random integers in [-width, width]."""
        return self.drawn("wide", name, shape, width)

    @property
    def width(self) -> int:
        products = len(self.op.operands) > 1
        return inputs.widest(SLACK * self.terms, self.dtype, products=products)

    @property
    def narrow(self) -> int:
        """The width at which scalar products of an answer and an array are exact in float64."""
        products = SLACK * self.terms * max(map(prod, (self.plan.output, *_shapes(self.plan))))
        return max(1, min(self.width, int((2.0**53 / products) ** (1 / 3))))

    @property
    def terms(self) -> int:
        """The most summands of any direction."""
        return max(self.op.terms(self.plan).values())

    def operands(self, width: int | None = None) -> list[ndarray]:
        """The operands of the case, without a bias."""
        return [
            self.integers(operand.name, self.plan.shape(operand.name), width)
            for operand in self.op.operands
            if not operand.optional
        ]

    def bias(self, width: int | None = None) -> ndarray:
        return self.integers("bias", self.plan.shape("bias"), width)

    def grad_output(self, width: int | None = None) -> ndarray:
        return self.integers("grad_output", self.plan.output, width)

    def arguments(self, width: int | None = None) -> list[ndarray]:
        """What `answer` takes: the operands, after grad_output for a gradient."""
        first = [] if self.direction == FORWARD else [self.grad_output(width)]
        return [*first, *self.operands(width)]

    # ------------------------------------------------------------------------------------ calls

    def answer(self, *arrays: ndarray, **changes: Any) -> ndarray:
        """The array of the trial's direction, for plain arrays and some other parameters."""
        if self.direction == FORWARD:
            return self.forward(*arrays, **changes)
        return self.gradient(*arrays, **changes)

    def forward(self, *arrays: ndarray, **changes: Any) -> ndarray:
        """The op's output."""
        return self.call(self.op.name, *arrays, **{**self.params, **changes})

    def call(self, name: str, *arrays: ndarray, **params: Any) -> ndarray:
        """The output of any op."""
        self._note(OPS[name], FORWARD, arrays, params)
        return getattr(self.backend, name)(*arrays, **params)

    def gradient(self, grad_output: ndarray, *arrays: ndarray, **changes: Any) -> ndarray:
        """The gradient of the trial's direction."""
        op, params = self.op, {**self.params, **changes}
        self._note(op, self.direction, arrays, params, grad_output)
        method = getattr(self.backend, f"{op.name}_backward")
        if len(op.operands) == 1:
            return method(grad_output, *arrays, **params)
        mask = tuple(direction == self.direction for direction in op.directions[1:])
        gradients = method(grad_output, *arrays, **params, output_mask=mask)
        if [gradient is not None for gradient in gradients] != list(mask):
            raise KernelError(f"output_mask={mask} must say which gradients are None")
        return gradients[mask.index(True)]

    def _note(
        self, op: OpSpec, direction: str, arrays: tuple[ndarray, ...], params: Params,
        grad_output: ndarray | None = None,
    ) -> None:  # fmt: skip
        """Raise Undecided for a call that the backend does not offer; keep its magnitude."""
        shown = {k: v for k, v in params.items() if k not in ("return_indices", "indices")}
        plan = op.plan(*(array.shape for array in arrays), **shown)
        kernel = op.kernel_of(direction)
        if direction == "grad_bias" and not self.backend.has(kernel):
            kernel = op.kernel_of("grad_weight")  # the gate sums it
        if not self.backend.has(kernel):
            raise Undecided(Status.MISSING, f"no kernel {kernel}")
        if reason := self.backend.unsupported(kernel, plan.params):
            raise Undecided(Status.UNSUPPORTED, f"{kernel} {plan.params}: {reason}")
        if not self.is_exact:
            self._magnitude += _magnitude(op, plan, direction, arrays, grad_output)

    # ------------------------------------------------------------------------------- comparison

    @property
    def is_exact(self) -> bool:
        """Whether every right backend of this accuracy gives the same bits, for integers."""
        if not self.op.linear or self.direction in self.op.exact:
            return True
        if not self.is_direct:
            return False
        if self.op.divisors is None:
            return True
        divisors = np.abs(self.op.divisors(self.plan))
        return bool(((divisors & (divisors - 1)) == 0).all())

    @property
    def is_direct(self) -> bool:
        return self.backend.accuracy == "direct" or not self.op.linear

    def dot(self, a: ndarray, b: ndarray, c: ndarray, d: ndarray) -> Equation:
        """<a, b> = <c, d>, of answers a and d, and b and c that were drawn."""
        left, right = (np.vdot(*map(np.float64, pair)) for pair in ((a, b), (c, d)))
        factor = float(np.abs(b).sum() + np.abs(c).sum())
        return Equation("scalar product", np.asarray(left), np.asarray(right), factor)

    def compared(self, equation: Equation) -> Evidence:
        """One side beside the other, as close as calls of this backend must be."""
        what, actual = equation.what, equation.actual
        if self.is_exact:
            # The gate has seen to the dtype of answers.
            expected = equation.expected.astype(actual.dtype)
            signed = self.op.signed_zero and what.startswith("output")
            return Evidence("integer", what, actual, expected, None, signed)
        magnitude = np.full(equation.expected.shape, self._magnitude * equation.factor)
        if self.is_direct:
            limit = tolerance.limit(magnitude, self.terms, self.dtype)
        else:
            limit = tolerance.transform_limit(magnitude, self.dtype)
        return Evidence("integer", what, actual, equation.expected.astype(np.float64), limit)


def _shapes(plan: Plan) -> list[Shape]:
    return [shape for shape in plan.inputs.values() if shape is not None]


def _public(plan: Plan) -> Params:
    """Parameters of a plan as the public call takes them: a pool's padding is one per axis."""
    params = dict(plan.params)
    if "kernel_size" in params:
        params["padding"] = tuple(before for before, after in params["padding"])
    return params


def _magnitude(
    op: OpSpec, plan: Plan, direction: str, arrays: tuple[ndarray, ...],
    grad_output: ndarray | None,
) -> float:  # fmt: skip
    """At least the sum of the absolute values that any finite element of the answer sums."""
    largest = [_largest(array) for array in arrays]
    if grad_output is None:
        *factors, bias = largest if len(largest) == 3 else [*largest, 0.0]
    else:
        wrt = op.directions.index(direction) - 1
        others = [] if direction == "grad_bias" else largest[:wrt] + largest[wrt + 1 :]
        factors, bias = [_largest(grad_output), *others], 0.0
    divisor = 1 if op.divisors is None else np.abs(op.divisors(plan)).min()
    return float(op.terms(plan)[direction] * prod(factors) / divisor + bias)


def _largest(array: ndarray) -> float:
    """The largest magnitude; a dye has none."""
    return float(np.abs(array[np.isfinite(array)]).max(initial=0))
