"""The gate: PyTorch-named operations over a backend module's kernels, validated once.

Each operation and its backward are methods, made from the op's record. A call is bound to the
record's signature, its arrays are checked, its parameters normalized, the kernel called and its
answer checked; a kernel's wrong answer raises KernelError and is never repaired.
"""

from collections import namedtuple
from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy import ndarray

from impls.spec.arrays import (
    check_float_array,
    check_indices,
    check_rank,
    check_same_dtype,
    check_shape,
    prepared,
)
from impls.spec.interface import kernel_arrays
from impls.spec.op import FORWARD, OpSpec
from impls.spec.ops import OPS
from impls.spec.plan import Params, Plan, Shape

# Direct sums round as any order of summation may; transforms (Winograd, FFT) are bounded by norm.
ACCURACIES = ("direct", "transform")
# Calls of an operation whose plans are kept.
REMEMBERED = 1024


class KernelError(RuntimeError):
    """A kernel's answer has the wrong type, dtype, shape or memory order."""


class Backend:
    """A backend module behind the gate: conv2d, conv2d_backward, max_pool2d, ... as methods.

    name: what reports call it. module: the kernels. accuracy: "direct" or "transform".
    """

    def __init__(self, name: str, module: ModuleType) -> None:
        self.name = name
        self.module = module
        self.accuracy: str = getattr(module, "accuracy", ACCURACIES[0])
        if self.accuracy not in ACCURACIES:
            raise ValueError(f"accuracy={self.accuracy!r} must be one of {', '.join(ACCURACIES)}")

    def __repr__(self) -> str:
        return f"<backend {self.name}: {self.module.__name__}>"

    def has(self, kernel: str) -> bool:
        """Whether the module defines a kernel."""
        return callable(getattr(self.module, kernel, None))

    def unsupported(self, kernel: str, params: Params) -> str:
        """Why the module does not compute this call of a kernel, or ""."""
        declared: Callable[[str, Params], str] = getattr(self.module, "unsupported", _no_limit)
        return declared(kernel, params)

    def kernel(self, name: str, params: Params) -> Callable[..., Any]:
        """The kernel for a call; NotImplementedError if it is missing or declared unsupported."""
        if not self.has(name):
            raise NotImplementedError(f"{self.name} has no kernel {name}")
        if reason := self.unsupported(name, params):
            raise NotImplementedError(f"{self.name} does not support this call of {name}: {reason}")
        found: Callable[..., Any] = getattr(self.module, name)
        return found

    if TYPE_CHECKING:  # the operations are attached below, from their records

        def __getattr__(self, name: str) -> Callable[..., Any]: ...


def _no_limit(kernel: str, params: Params) -> str:
    return ""


def _forward(op: OpSpec) -> Callable[..., Any]:
    """The method of an operation."""
    # Made once: they take 100 us.
    sign, count = op.signature, len(op.operands)
    bound, planned = _binder(sign), _planner(op, tuple(sign.parameters))

    def method(self: Backend, *args: Any, **kwargs: Any) -> Any:
        arguments = bound(args, kwargs)
        values = arguments[:count]
        plan, shapes, shape = planned(values, arguments[count:])
        wants_indices = bool(getattr(arguments, "return_indices", False))
        name = op.kernel
        if op.returns_indices and not wants_indices and _offers_values(self, op, plan):
            name = f"{op.kernel}_values"
        kernel = self.kernel(name, plan.params)
        result = kernel(*_prepared(values, shapes), **plan.params)
        dtype = values[0].dtype
        if name == op.kernel and op.returns_indices:
            output, indices = _checked_pair(name, result, plan.output, dtype)
            output, indices = output.reshape(shape), indices.reshape(shape)
            return (output, indices) if wants_indices else output
        return _checked(name, result, plan.output, dtype).reshape(shape)

    return _described(method, op.name, sign, op.plan.__doc__)


def _backward(op: OpSpec) -> Callable[..., Any]:
    """The method of an operation's gradients."""
    sign = _backward_signature(op)
    names = tuple(name for name in sign.parameters if name not in ("output_mask", "indices"))
    required = [operand.name for operand in op.operands if not operand.optional]
    end = 1 + len(required)
    operands = {direction: kernel_arrays(op, direction) for direction in op.directions}
    bound, planned = _binder(sign), _planner(op, names[1:])

    def method(self: Backend, *args: Any, **kwargs: Any) -> Any:
        arguments = bound(args, kwargs)
        grad_output, values = arguments[0], arguments[1:end]
        mask = _output_mask(op, getattr(arguments, "output_mask", None))
        plan, shapes, expected = planned(values, arguments[end : len(names)])
        check_float_array("grad_output", grad_output)
        check_same_dtype({required[0]: values[0], "grad_output": grad_output})
        check_shape("grad_output", grad_output, expected, "the shape of the output")
        indices = getattr(arguments, "indices", None)
        if indices is not None:
            height, width = plan.shape("input")[2:]
            check_indices(indices, expected, height * width)
        given = dict(zip(required, _prepared(values, shapes), strict=True))
        given["grad_output"] = prepared(grad_output, plan.output)
        if op.returns_indices:
            given["indices"] = _indices(self, op, plan, indices, given)
        gradients = [
            _gradient(self, op, f"grad_{operand.name}", plan, given, operands) if wanted else None
            for operand, wanted in zip(op.operands, mask, strict=True)
        ]
        if gradients[0] is not None:  # the only operand that may have no batch
            gradients[0] = gradients[0].reshape(values[0].shape)
        return tuple(gradients) if len(gradients) > 1 else gradients[0]

    wrt = ", ".join(f"grad_{operand.name}" for operand in op.operands)
    doc = f"""{wrt} of {op.name}.

    grad_output: shape and dtype of {op.name}'s output; the rest as {op.name} takes it. Gradients
    have the shapes of the arrays they belong to; None where output_mask is False.
    Raises as {op.name} does.
    """
    return _described(method, f"{op.name}_backward", sign, doc)


def _backward_signature(op: OpSpec) -> Signature:
    """grad_output, the forward call without bias and return_indices, what gradients add."""
    kind = Parameter.POSITIONAL_OR_KEYWORD
    dropped = {operand.name for operand in op.operands if operand.optional} | {"return_indices"}
    kept = [p for name, p in op.signature.parameters.items() if name not in dropped]
    added = []
    if len(op.operands) > 1:
        added.append(Parameter("output_mask", kind, default=(True,) * len(op.operands)))
    if op.returns_indices:
        added.append(Parameter("indices", kind, default=None))
    return Signature([Parameter("grad_output", kind), *kept, *added])


def _binder(sign: Signature) -> Callable[[Sequence[Any], Params], tuple[Any, ...]]:
    """A function from a call's arguments to a named tuple of all, defaults applied."""
    defaults = [p.default for p in sign.parameters.values() if p.default is not p.empty]
    # Signature.bind would take 30 us, a named tuple's constructor takes 1.
    arguments = namedtuple("arguments", sign.parameters, defaults=defaults)  # type: ignore[misc]

    def bound(args: Sequence[Any], kwargs: Params) -> tuple[Any, ...]:
        try:
            return arguments(*args, **kwargs)
        except TypeError:
            sign.bind(*args, **kwargs)  # says what is wrong in the caller's words
            raise

    return bound


class _Planned(NamedTuple):
    """A right call, as shapes.

    inputs: of the operands as kernels get them, None for an absent bias. output: the caller's.
    """

    plan: Plan
    inputs: tuple[Shape | None, ...]
    output: Shape


def _planner(op: OpSpec, names: Sequence[str]) -> Callable[..., _Planned]:
    """A function from a call's operands and other arguments to its plan; raises for a wrong call.

    names: of the operands and of the others. What was found right once is not checked again: the
    gate took 19 us of a call, without these checks 14, and small layers take 30.
    """
    operands = [operand for operand in op.operands if operand.name in names]
    known: dict[Any, _Planned] = {}

    def planned(values: Sequence[Any], others: Sequence[Any]) -> _Planned:
        try:
            looks = [None if v is None else (type(v), v.dtype, v.shape) for v in values]
            key = (*looks, *map(_typed, others))
            found = known.get(key)
        except (AttributeError, TypeError):  # no array, or a parameter that has no hash
            return made(values, others)
        if found is None:
            found = made(values, others)
            if len(known) >= REMEMBERED:
                known.clear()
            known[key] = found
        return found

    def made(values: Sequence[Any], others: Sequence[Any]) -> _Planned:
        arrays = {}
        for operand, value in zip(operands, values, strict=True):
            if value is not None or not operand.optional:
                check_float_array(operand.name, value)
                arrays[operand.name] = value
        check_same_dtype(arrays)
        for operand in operands:
            if operand.name in arrays:
                shape = arrays[operand.name].shape
                check_rank(operand.name, shape, operand.ranks, operand.layout)
        shapes = {name: array.shape for name, array in arrays.items()}
        first, shape = names[0], values[0].shape
        batched = op.batched(shape)
        params = dict(zip(names[len(values) :], others, strict=True))
        try:
            plan = op.plan(**{**shapes, first: batched}, **params)
        except ValueError as error:
            # The caller never saw the batched shape.
            told = str(error).replace(f"{first}.shape={batched}", f"{first}.shape={shape}")
            raise ValueError(told) from None
        inputs = tuple(plan.inputs[operand.name] for operand in operands)
        return _Planned(plan, inputs, op.unbatched(shape, plan.output))

    return planned


def _typed(value: Any) -> tuple[Any, ...]:
    """A key of a parameter's value: what equals it without being of its type may be refused."""
    if type(value) is tuple:
        return tuple(map(_typed, value))
    return type(value), value


def _prepared(values: Sequence[Any], shapes: Sequence[Shape | None]) -> list[Any]:
    """The operands as kernels get them; None for an absent bias."""
    return [
        None if shape is None else prepared(value, shape)
        for value, shape in zip(values, shapes, strict=True)
    ]


def _output_mask(op: OpSpec, mask: Any) -> tuple[bool, ...]:
    """Which gradients are wanted; all where the op has one only."""
    if len(op.operands) == 1:
        return (True,)
    count = len(op.operands)
    is_mask = isinstance(mask, Sequence) and len(mask) == count
    if not is_mask or not all(isinstance(wanted, bool | np.bool_) for wanted in mask):
        raise ValueError(f"output_mask={mask!r} must be {count} bools, one per gradient")
    return tuple(map(bool, mask))


def _offers_values(backend: Backend, op: OpSpec, plan: Plan) -> bool:
    name = f"{op.kernel}_values"
    return backend.has(name) and not backend.unsupported(name, plan.params)


def _indices(
    backend: Backend, op: OpSpec, plan: Plan, indices: Any, given: dict[str, ndarray]
) -> ndarray:
    """The caller's indices as kernels get them, or those of the forward kernel."""
    if indices is not None:
        return prepared(indices, plan.output)
    kernel = backend.kernel(op.kernel, plan.params)
    inputs = [given[name] for name in kernel_arrays(op, FORWARD)]
    result = kernel(*inputs, **plan.params)
    return _checked_pair(op.kernel, result, plan.output, inputs[0].dtype)[1]


def _gradient(
    backend: Backend, op: OpSpec, direction: str, plan: Plan, given: dict[str, ndarray],
    operands: dict[str, tuple[str, ...]],
) -> ndarray:  # fmt: skip
    """One gradient from its kernel; a bias gradient without a kernel is summed here."""
    name, grad_output = op.kernel_of(direction), given["grad_output"]
    operand = direction.removeprefix("grad_")
    if operand == "bias" and not backend.has(name):
        axes = tuple(axis for axis in range(grad_output.ndim) if axis != 1)
        return grad_output.sum(axis=axes)
    kernel = backend.kernel(name, plan.params)
    result = kernel(*(given[key] for key in operands[direction]), **plan.params)
    shape = (plan.output[1],) if operand == "bias" else plan.shape(operand)
    return _checked(name, result, shape, grad_output.dtype)


def _checked_pair(
    kernel: str, result: Any, shape: Shape, dtype: np.dtype[Any]
) -> tuple[ndarray, ndarray]:
    """The (output, indices) of a kernel that returns both."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise KernelError(f"{kernel} returned {type(result).__name__}, not (output, indices)")
    output = _checked(kernel, result[0], shape, dtype)
    return output, _checked(f"{kernel}'s indices", result[1], shape, np.dtype(np.int64))


def _checked(kernel: str, result: Any, shape: Shape, dtype: np.dtype[Any]) -> ndarray:
    """The result, if its type, dtype, shape and memory order are what the contract says."""
    if type(result) is not ndarray:
        raise KernelError(f"{kernel} returned {type(result).__name__}, but should be ndarray")
    if result.shape != shape:
        raise KernelError(f"{kernel} returned shape {result.shape}, but should be {shape}")
    if result.dtype != dtype or not result.dtype.isnative:
        raise KernelError(f"{kernel} returned {result.dtype.str}, but should be {dtype.str}")
    if not result.flags.c_contiguous:
        raise KernelError(f"{kernel} returned strides {result.strides}, but should be C-contiguous")
    return result


def _described(
    method: Callable[..., Any], name: str, sign: Signature, doc: str | None
) -> Callable[..., Any]:
    method.__name__, method.__qualname__, method.__doc__ = name, f"Backend.{name}", doc
    self_parameter = Parameter("self", Parameter.POSITIONAL_ONLY)
    method.__signature__ = Signature(  # type: ignore[attr-defined]
        [self_parameter, *sign.parameters.values()]
    )
    return method


for _op in OPS.values():
    setattr(Backend, _op.name, _forward(_op))
    setattr(Backend, f"{_op.name}_backward", _backward(_op))
