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
    is_plain,
    prepared,
)
from impls.spec.op import OpSpec
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
        # Asked for once: asking a module for what it lacks takes 0.2 us.
        self._declared: Callable[[str, Params], str] | None = getattr(module, "unsupported", None)

    def __repr__(self) -> str:
        return f"<backend {self.name}: {self.module.__name__}>"

    def has(self, kernel: str) -> bool:
        """Whether the module defines a kernel."""
        return callable(getattr(self.module, kernel, None))

    def unsupported(self, kernel: str, params: Params) -> str:
        """Why the module does not compute this call of a kernel, or ""."""
        return self._declared(kernel, params) if self._declared else ""

    def kernel(self, name: str, params: Params) -> Callable[..., Any]:
        """The kernel for a call; NotImplementedError if it is missing or declared unsupported."""
        found: Callable[..., Any] | None = getattr(self.module, name, None)
        if not callable(found):
            raise NotImplementedError(f"{self.name} has no kernel {name}")
        if reason := self.unsupported(name, params):
            raise NotImplementedError(f"{self.name} does not support this call of {name}: {reason}")
        return found

    if TYPE_CHECKING:  # the operations are attached below, from their records

        def __getattr__(self, name: str) -> Callable[..., Any]: ...


def _forward(op: OpSpec) -> Callable[..., Any]:
    """The method of an operation."""
    # Made once: they take 100 us.
    sign, count = op.signature, len(op.operands)
    bound, planned = _binder(sign), _planner(op, tuple(sign.parameters))

    def method(self: Backend, *args: Any, **kwargs: Any) -> Any:
        arguments = bound(args, kwargs)
        values = arguments[:count]
        found = planned(values, arguments[count:])
        plan, shape, dtype = found.plan, found.output, values[0].dtype
        operands = _prepared(values, found)
        if not op.returns_indices:
            result = self.kernel(op.kernel, plan.params)(*operands, **plan.params)
            return _reshaped(_checked(op.kernel, result, plan.output, dtype), shape)
        wants_indices = getattr(arguments, "return_indices", False)
        name = f"{op.kernel}_values"
        if not wants_indices and self.has(name) and not self.unsupported(name, plan.params):
            result = self.kernel(name, plan.params)(*operands, **plan.params)
            return _reshaped(_checked(name, result, plan.output, dtype), shape)
        result = self.kernel(op.kernel, plan.params)(*operands, **plan.params)
        output, indices = _checked_pair(op.kernel, result, plan.output, dtype)
        output, indices = _reshaped(output, shape), _reshaped(indices, shape)
        return (output, indices) if wants_indices else output

    return _described(method, op.name, sign, op.plan.__doc__)


def _backward(op: OpSpec) -> Callable[..., Any]:
    """The method of an operation's gradients."""
    sign = _backward_signature(op)
    names = tuple(name for name in sign.parameters if name not in ("output_mask", "indices"))
    required = [operand.name for operand in op.operands if not operand.optional]
    end = 1 + len(required)
    bound, planned = _binder(sign), _planner(op, names)
    # Each takes grad_output and the inputs, in the order of this call, then perhaps the indices.
    kernels = [
        (operand.name, op.kernel_of(direction))
        for operand, direction in zip(op.operands, op.directions[1:], strict=True)
    ]

    def method(self: Backend, *args: Any, **kwargs: Any) -> Any:
        arguments = bound(args, kwargs)
        values = arguments[:end]
        mask = _output_mask(op, getattr(arguments, "output_mask", None))
        found = planned(values, arguments[end : len(names)])
        arrays = list(_prepared(values, found))
        if op.returns_indices:
            indices = getattr(arguments, "indices", None)
            arrays.append(_indices(self, op, found, indices, arrays[1:]))
        gradients = [
            _gradient(self, name, kernel, arrays, found.plan) if wanted else None
            for wanted, (name, kernel) in zip(mask, kernels, strict=True)
        ]
        if gradients[0] is not None:  # the only operand that may have no batch
            gradients[0] = _reshaped(gradients[0], values[1].shape)
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

    given: of the arrays as kernels get them, None for an absent bias. output: the caller's.
    as_they_are: whether aligned arrays of this call need nothing done before a kernel gets them.
    """

    plan: Plan
    given: tuple[Shape | None, ...]
    output: Shape
    as_they_are: bool


def _planner(op: OpSpec, names: Sequence[str]) -> Callable[..., _Planned]:
    """A function from a call's arrays and other arguments to its plan; raises for a wrong call.

    names: of the arrays, a backward call's grad_output first, and of the other arguments. What was
    found right once is not checked again: small layers take 30 us, and the gate took 19 of them;
    without the checks it takes 7.
    """
    is_backward = names[0] == "grad_output"
    operands = [operand for operand in op.operands if operand.name in names]
    known: dict[Any, _Planned] = {}

    def planned(arrays: Sequence[Any], others: Sequence[Any]) -> _Planned:
        try:
            looks = [None if a is None else (type(a), a.dtype, a.shape, a.strides) for a in arrays]
            # A type with each value: what equals a right one may be refused.
            typed = [_typed(v) if type(v) is tuple else (type(v), v) for v in others]
            key = (*looks, *typed)
            found = known.get(key)
        except (AttributeError, TypeError):  # no array, or a parameter that has no hash
            return made(arrays, others)
        if found is None:
            found = made(arrays, others)
            if len(known) >= REMEMBERED:
                known.clear()
            known[key] = found
        return found

    def made(arrays: Sequence[Any], others: Sequence[Any]) -> _Planned:
        values = arrays[is_backward:]
        present = {}
        for operand, value in zip(operands, values, strict=True):
            if value is not None or not operand.optional:
                check_float_array(operand.name, value)
                present[operand.name] = value
        check_same_dtype(present)
        for operand in operands:
            if operand.name in present:
                shape = present[operand.name].shape
                check_rank(operand.name, shape, operand.ranks, operand.layout)
        shapes = {name: array.shape for name, array in present.items()}
        first, shape = operands[0].name, values[0].shape
        batched = op.batched(shape)
        params = dict(zip(names[len(arrays) :], others, strict=True))
        try:
            plan = op.plan(**{**shapes, first: batched}, **params)
        except ValueError as error:
            # The caller never saw the batched shape.
            told = str(error).replace(f"{first}.shape={batched}", f"{first}.shape={shape}")
            raise ValueError(told) from None
        given = [plan.inputs[operand.name] for operand in operands]
        output = op.unbatched(shape, plan.output)
        if is_backward:
            grad_output = arrays[0]
            check_float_array("grad_output", grad_output)
            check_same_dtype({first: values[0], "grad_output": grad_output})
            check_shape("grad_output", grad_output, output, "the shape of the output")
            given.insert(0, plan.output)
        as_they_are = all(
            array is None or (is_plain(array) and array.shape == shape)
            for array, shape in zip(arrays, given, strict=True)
        )
        return _Planned(plan, tuple(given), output, as_they_are)

    return planned


def _typed(value: Any) -> tuple[Any, ...]:
    """A value with its type, and with those of what it holds."""
    if type(value) is tuple:
        return tuple(map(_typed, value))
    return type(value), value


def _prepared(arrays: Sequence[Any], found: _Planned) -> Sequence[Any]:
    """The arrays as kernels get them; None for an absent bias."""
    if found.as_they_are:
        for array in arrays:
            if array is not None and not array.flags.aligned:
                break
        else:
            return arrays
    return [
        None if shape is None else prepared(array, shape)
        for array, shape in zip(arrays, found.given, strict=True)
    ]


def _reshaped(result: ndarray, shape: Shape) -> ndarray:
    return result if result.shape == shape else result.reshape(shape)


def _output_mask(op: OpSpec, mask: Any) -> tuple[bool, ...]:
    """Which gradients are wanted; all where the op has one only."""
    if len(op.operands) == 1:
        return (True,)
    count = len(op.operands)
    if type(mask) is tuple and tuple(map(type, mask)) == (bool,) * count:
        return mask
    is_mask = isinstance(mask, Sequence) and len(mask) == count
    if not is_mask or not all(isinstance(wanted, bool | np.bool_) for wanted in mask):
        raise ValueError(f"output_mask={mask!r} must be {count} bools, one per gradient")
    return tuple(map(bool, mask))


def _indices(
    backend: Backend, op: OpSpec, found: _Planned, indices: Any, inputs: Sequence[ndarray]
) -> ndarray:
    """The caller's indices as kernels get them, or those of the forward kernel."""
    plan = found.plan
    if indices is not None:
        height, width = plan.shape("input")[2:]
        check_indices(indices, found.output, height * width)
        return prepared(indices, plan.output)
    kernel = backend.kernel(op.kernel, plan.params)
    result = kernel(*inputs, **plan.params)
    return _checked_pair(op.kernel, result, plan.output, inputs[0].dtype)[1]


def _gradient(
    backend: Backend, operand: str, name: str, arrays: Sequence[ndarray], plan: Plan
) -> ndarray:
    """The gradient by an operand, from its kernel; by a bias it is summed here without one."""
    grad_output = arrays[0]
    if operand == "bias" and not backend.has(name):
        axes = tuple(axis for axis in range(grad_output.ndim) if axis != 1)
        return grad_output.sum(axis=axes)
    result = backend.kernel(name, plan.params)(*arrays, **plan.params)
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
