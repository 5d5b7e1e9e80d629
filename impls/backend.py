"""The gate: PyTorch-named operations over a backend module's kernels, validated once.

Each operation and its backward are methods, made from the op's record. A call is bound to the
record's signature, its arrays are checked, its parameters normalized, the kernel called and its
answer checked; a kernel's wrong answer raises KernelError and is never repaired.
"""

from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import lru_cache
from inspect import Parameter, Signature
from types import ModuleType, NoneType
from typing import TYPE_CHECKING, Any

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
    sign, operands = op.signature, kernel_arrays(op, FORWARD)
    bound, planned = _binder(sign), _planner(op)

    def method(self: Backend, *args: Any, **kwargs: Any) -> Any:
        arguments = bound(args, kwargs)
        arrays = _checked_arrays(op, arguments)
        plan = planned(arrays, arguments)
        wants_indices = bool(arguments.get("return_indices", False))
        name = op.kernel
        if op.returns_indices and not wants_indices and _offers_values(self, op, plan):
            name = f"{op.kernel}_values"
        kernel = self.kernel(name, plan.params)
        inputs = _prepared(arrays, plan)
        result = kernel(*(inputs.get(key) for key in operands), **plan.params)
        first = arrays[op.operands[0].name]
        shape = op.unbatched(first.shape, plan.output)
        if name == op.kernel and op.returns_indices:
            output, indices = _checked_pair(name, result, plan.output, first.dtype)
            output, indices = output.reshape(shape), indices.reshape(shape)
            return (output, indices) if wants_indices else output
        return _checked(name, result, plan.output, first.dtype).reshape(shape)

    return _described(method, op.name, sign, op.plan.__doc__)


def _backward(op: OpSpec) -> Callable[..., Any]:
    """The method of an operation's gradients."""
    sign = _backward_signature(op)
    operands = {direction: kernel_arrays(op, direction) for direction in op.directions}
    bound, planned = _binder(sign), _planner(op)

    def method(self: Backend, *args: Any, **kwargs: Any) -> Any:
        arguments = bound(args, kwargs)
        grad_output, indices = arguments.pop("grad_output"), arguments.pop("indices", None)
        mask = _output_mask(op, arguments.pop("output_mask", None))
        arrays = _checked_arrays(op, arguments)
        plan = planned(arrays, arguments)
        first = arrays[op.operands[0].name]
        expected = op.unbatched(first.shape, plan.output)
        check_float_array("grad_output", grad_output)
        check_same_dtype({op.operands[0].name: first, "grad_output": grad_output})
        check_shape("grad_output", grad_output, expected, "the shape of the output")
        if indices is not None:
            height, width = plan.shape("input")[2:]
            check_indices(indices, expected, height * width)
        given = {"grad_output": prepared(grad_output, plan.output), **_prepared(arrays, plan)}
        if op.returns_indices:
            given["indices"] = _indices(self, op, plan, indices, given)
        gradients = tuple(
            _gradient(self, op, f"grad_{operand.name}", plan, given, operands) if wanted else None
            for operand, wanted in zip(op.operands, mask, strict=True)
        )
        shaped = tuple(
            gradient.reshape(arrays[operand.name].shape)
            if gradient is not None and operand.name in arrays
            else gradient
            for operand, gradient in zip(op.operands, gradients, strict=True)
        )
        return shaped if len(shaped) > 1 else shaped[0]

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


def _binder(sign: Signature) -> Callable[[Sequence[Any], Params], Params]:
    """A function from a call's arguments to their names, defaults applied."""
    defaults = [p.default for p in sign.parameters.values() if p.default is not p.empty]
    # Signature.bind would take 30 us, a named tuple's constructor takes 1.
    arguments = namedtuple("arguments", sign.parameters, defaults=defaults)  # type: ignore[misc]

    def bound(args: Sequence[Any], kwargs: Params) -> Params:
        try:
            return arguments(*args, **kwargs)._asdict()
        except TypeError:
            sign.bind(*args, **kwargs)  # says what is wrong in the caller's words
            raise

    return bound


def _checked_arrays(op: OpSpec, arguments: Params) -> dict[str, ndarray]:
    """The arrays of a call, taken out of its arguments; raise unless dtypes and ranks are right."""
    arrays = {}
    for operand in op.operands:
        value = arguments.pop(operand.name, None)
        if value is None and operand.optional:
            continue
        check_float_array(operand.name, value)
        arrays[operand.name] = value
    check_same_dtype(arrays)
    for operand in op.operands:
        if operand.name in arrays:
            shape = arrays[operand.name].shape
            check_rank(operand.name, shape, operand.ranks, operand.layout)
    return arrays


def _planner(op: OpSpec) -> Callable[[dict[str, ndarray], Params], Plan]:
    """A function from a call's arrays and parameters to its plan; repeated calls share one."""
    first = op.operands[0].name

    def made(shapes: tuple[tuple[str, Shape], ...], params: tuple[tuple[str, Any], ...]) -> Plan:
        given = dict(shapes)
        batched = op.batched(given[first])
        try:
            return op.plan(**{**given, first: batched}, **dict(params))
        except ValueError as error:
            # The caller never saw the batched shape.
            told = str(error).replace(f"{first}.shape={batched}", f"{first}.shape={given[first]}")
            raise ValueError(told) from None

    remembered = lru_cache(maxsize=1024)(made)

    def planned(arrays: dict[str, ndarray], params: Params) -> Plan:
        shapes = tuple((name, array.shape) for name, array in arrays.items())
        # What is equal to an int or a tuple of ints without being one may be refused.
        is_plain = all(map(_is_plain, params.values()))
        return (remembered if is_plain else made)(shapes, tuple(params.items()))

    return planned


def _is_plain(value: Any) -> bool:
    """Whether a parameter's value equals none that the gate would read in another way."""
    if type(value) is tuple:
        return all(map(_is_plain, value))
    return type(value) in (int, str, NoneType)


def _prepared(arrays: dict[str, ndarray], plan: Plan) -> dict[str, ndarray]:
    return {name: prepared(array, plan.shape(name)) for name, array in arrays.items()}


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
