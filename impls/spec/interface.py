"""KERNELS: what a backend's author writes; every kernel with its signature.

A backend is a module with functions named like these kernels; any subset is a backend. The gate
(impls/backend.py) has validated a call before it reaches a kernel:

* arrays are C-contiguous, aligned and of one dtype, float32 or float64; they may be read-only and
  must not be changed;
* the first array has a batch axis (an image of image_to_patches has none); relu takes any shape;
* stride, dilation, kernel_size and output_padding are pairs of ints, (height, width); padding is
  ((top, bottom), (left, right)); bias may be None; nothing is "same" and nothing a bare int, but
  groups, patch_size and divisor_override, which may be None;
* a gradient takes grad_output, then the inputs of the forward call, bias apart.

What a kernel returns is checked, never repaired: a new C-contiguous ndarray of the inputs' dtype
and of the right shape. max_pool returns (output, indices), indices int64 into the H * W plane.

Optional: conv_grad_bias, conv_transpose_grad_bias and linear_grad_bias (else the gate sums
grad_output), and max_pool_values, max_pool's output alone. A module may also say
`accuracy = "transform"` (Winograd, FFT; "direct" if nothing is said) and define
`unsupported(kernel, params) -> str`: why this call is not computed here, or "".
"""

from inspect import Parameter, Signature

from impls.spec.op import FORWARD, OpSpec
from impls.spec.ops import OPS


def kernel_params(op: OpSpec) -> tuple[str, ...]:
    """Names of the keyword arguments that an op's kernels take."""
    operands = {operand.name for operand in op.operands}
    public = (name for name in op.signature.parameters if name not in operands)
    return tuple(name for name in public if name != "return_indices")


def kernel_arrays(op: OpSpec, direction: str) -> tuple[str, ...]:
    """Names of the arrays that the kernel of a direction takes, in order."""
    if direction == FORWARD:
        return tuple(operand.name for operand in op.operands)
    inputs = tuple(operand.name for operand in op.operands if not operand.optional)
    return ("grad_output", *inputs, *(("indices",) if op.returns_indices else ()))


def _signature(arrays: tuple[str, ...], params: tuple[str, ...]) -> Signature:
    positional = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in arrays]
    return Signature(positional + [Parameter(name, Parameter.KEYWORD_ONLY) for name in params])


def _kernels() -> dict[str, Signature]:
    found = {}
    for op in OPS.values():
        for direction in op.directions:
            arrays = kernel_arrays(op, direction)
            found[op.kernel_of(direction)] = _signature(arrays, kernel_params(op))
        if op.returns_indices:
            arrays = kernel_arrays(op, FORWARD)
            found[f"{op.kernel}_values"] = _signature(arrays, kernel_params(op))
    return found


KERNELS = _kernels()
