"""max_pool2d: the largest value of every window, and where it lies."""

from typing import Any

import numpy as np

from impls.spec.case import Array, case, document, extended, refusing
from impls.spec.factors import IMAGE, PAIR, REST, WINDOW, Call, Factor, extents, images
from impls.spec.op import Operand, OpSpec
from impls.spec.params import IntOrPair, Pair, boolean, pair, pool_padding, pool_stride
from impls.spec.plan import Params, Plan, Shape
from impls.spec.shapes import pool_output, window_starts

INPUT = Operand("input", "(N, C, H, W) or (C, H, W)", (4, 3))


def plan(
    input: Shape,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Plan:
    """The largest value of every window; padding is never the largest.

    The first of equal values wins, NaN wins over all, and of several NaN the last.

    input: (N, C, H, W) or (C, H, W). stride: kernel_size if None.
    padding: at most half of kernel_size. ceil_mode: a last window may leave the input.
    Returns (N, C, P, Q), or (C, P, Q); with return_indices also int64 indices of that shape into
    the H * W plane. PyTorch's torch.nn.functional.max_pool2d.
    Raises ValueError naming argument, value and rule; TypeError for other arrays than float32 or
    float64.
    """
    boolean("return_indices", return_indices)
    size = pair("kernel_size", kernel_size, at_least=1)
    params: Params = {
        "kernel_size": size,
        "stride": pool_stride(stride, size),
        "padding": pool_padding(padding, size),
        "dilation": pair("dilation", dilation, at_least=1),
        "ceil_mode": boolean("ceil_mode", ceil_mode),
    }
    check_pool_input(input)
    output = pool_output(input, **params)
    check_pool_output(output, f"kernel_size={kernel_size!r} with dilation={dilation!r}", input)
    for axis in (0, 1):
        starts = window_starts(output[2 + axis], params["stride"][axis], params["padding"][axis])
        spread = params["dilation"][axis]
        # Padding is at most half of the kernel: the first tap inside always exists.
        first = np.where(starts < 0, starts + -(starts // spread) * spread, starts)
        if (first >= input[2 + axis]).any():
            raise ValueError(
                f"dilation={dilation!r} must leave every window a place inside"
                f" input.shape={input}, but with kernel_size={kernel_size!r} and"
                f" padding={padding!r} one has none"
            )
    return Plan({"input": input}, params, output)


def check_pool_input(input: Shape) -> None:
    """Raise ValueError unless there is a pixel to pool."""
    if min(input[1:]) < 1:
        raise ValueError(f"input.shape={input} must be at least 1 on every axis but the batch")


def check_pool_output(output: Shape, window: str, input: Shape) -> None:
    """Raise ValueError unless there is a window."""
    if min(output[2:]) < 1:
        raise ValueError(
            f"{window} must fit into input.shape={input}: the output would have shape {output}"
        )


def oracle(F: Any, input: Any, *args: Any, **params: Any) -> Any:
    """(output, indices) of the same call in PyTorch."""
    return F.max_pool2d(input, *args, **params, return_indices=True)


def macs(plan: Plan) -> int:
    """One comparison per tap: N * C * P * Q * R * S."""
    n, c, p, q = plan.output
    r, s = plan.params["kernel_size"]
    return n * c * p * q * int(r) * int(s)


def terms(plan: Plan) -> dict[str, int]:
    """The gradient of a pixel sums at most one window per tap."""
    r, s = plan.params["kernel_size"]
    return {"forward": 1, "grad_input": r * s}


CASES = (
    document("the document's max_pool2d: 2 x 2, stride 2", (2, 3, 6, 8), kernel_size=2, stride=2,
             same_as_default=("stride",)),
    document("3 x 3, stride 3", (1, 2, 9, 6), kernel_size=3, stride=3,
             same_as_default=("stride",)),
    document("1 x 1: the input itself", (1, 2, 4, 5), kernel_size=1, stride=1,
             same_as_default=("stride",)),
    case("stride is the kernel when not given", (2, 3, 9, 8), kernel_size=(3, 2)),
    case("stride None", (1, 2, 8, 7), kernel_size=(2, 3), stride=None,
         same_as_default=("stride",)),
    case("stride of an empty sequence", (1, 2, 8, 7), kernel_size=(2, 3), stride=(),
         same_as_default=("stride",)),
    case("one-element sequences", (1, 2, 9, 8), kernel_size=(3,), stride=[2], padding=(1,),
         dilation=(1,), same_as_default=("dilation",)),
    case("windows overlap", (2, 2, 7, 6), kernel_size=3, stride=1),
    case("kernel, stride and padding differ by axis", (2, 3, 9, 11), kernel_size=(3, 5),
         stride=(2, 3), padding=(1, 2)),
    case("dilation differs by axis", (2, 2, 10, 9), kernel_size=(2, 3), stride=(1, 2),
         dilation=(3, 2)),
    case("dilation and padding", (2, 2, 8, 9), kernel_size=(3, 2), stride=(2, 1), padding=1,
         dilation=(2, 3)),
    case("padding: all windows of a corner are partly outside", (2, 3, 4, 5), kernel_size=(3, 4),
         stride=2, padding=(1, 2)),
    case("rows are left over", (1, 2, 8, 9), kernel_size=(3, 2), stride=(3, 4)),
    case("ceil: a last window leaves the input", (2, 2, 8, 7), kernel_size=(3, 2), stride=(2, 3),
         ceil_mode=True),
    case("ceil with padding", (2, 2, 7, 8), kernel_size=(3, 4), stride=(3, 3), padding=(1, 2),
         ceil_mode=True),
    case("ceil: a window past the padding is dropped", (2, 2, 5, 5), kernel_size=2, stride=2,
         padding=1, ceil_mode=True, same_as_default=("stride", "ceil_mode")),
    case("ceil: 1 x 1 windows, strided: none is added", (1, 3, 6, 5), kernel_size=1, stride=2,
         ceil_mode=True, same_as_default=("ceil_mode",)),
    case("ceil: a kernel larger than the input", (3, 2, 2, 5), kernel_size=3, stride=3,
         ceil_mode=True, same_as_default=("stride",)),
    case("ceil with dilation", (1, 2, 9, 8), kernel_size=(2, 3), stride=(3, 2), dilation=(3, 2),
         ceil_mode=True),
    case("stride larger than the kernel: pixels no window sees", (2, 2, 9, 11),
         kernel_size=(2, 3), stride=(4, 5)),
    case("the whole plane is one window", (3, 4, 3, 5), kernel_size=(3, 5)),
    case("17 channels: one past a vector of 16", (1, 17, 4, 6), kernel_size=2),
    case("49 output columns: one past three vectors of 16", (1, 1, 4, 51), kernel_size=(2, 3),
         stride=(2, 1)),
    case("ResNet's 3 x 3, stride 2, padding 1", (1, 2, 9, 10), kernel_size=3, stride=2, padding=1),
    case("a plane of more than 2**16 pixels", (1, 1, 257, 260), kernel_size=2, stride=(16, 17),
         vacuous="most pixels are in no window"),
    extended("unbatched", (3, 7, 6), kernel_size=(2, 3), stride=2, padding=1),
    extended("empty batch", (0, 3, 7, 6), kernel_size=2, vacuous="there is no image"),
    extended("huge stride: one window", (2, 3, 5, 6), kernel_size=(3, 2), stride=(50, 70)),
    extended("large enough for several threads", (3, 8, 25, 27), kernel_size=(3, 2),
             stride=1, padding=1),
    extended("transposed in memory", (2, 3, 6, 8), kernel_size=(2, 3), layout="transposed"),
    extended("every other element", (2, 3, 6, 8), kernel_size=(2, 3), layout="strided"),
    extended("negative strides", (2, 3, 6, 8), kernel_size=(2, 3), layout="reversed"),
    extended("read-only", (2, 3, 6, 8), kernel_size=(2, 3), layout="readonly"),
    extended("broadcast: one column in memory", (2, 3, 6, 8), kernel_size=(2, 3),
             layout="broadcast"),
)  # fmt: skip

POOL_FACTORS = {
    **IMAGE,
    "rest": REST,
    "kernel_size": Factor((2, (3, 2), 1, (2, 4)), PAIR),
    "stride": Factor((None, 1, 2, (2, 3), (5, 1)), PAIR),
    "padding": Factor((0, 1, (1, 0)), (range(2), range(2))),
    "ceil_mode": Factor((False, True)),
}
FACTORS = {**POOL_FACTORS, "dilation": WINDOW["dilation"]}


def call(
    n: Any, c: int, rows: int, columns: int, rest: Pair, kernel_size: Any, stride: Any,
    padding: Any, dilation: Any = 1, **params: Any,
) -> Call:  # fmt: skip
    """A call with `rows` and `columns` of output, before ceil_mode adds any."""
    size = pair("kernel_size", kernel_size, at_least=1)
    steps, pads = pool_stride(stride, size), pool_padding(padding, size)
    plane = extents(
        (rows, columns), rest, kernel_size=size, stride=steps, padding=pads, dilation=dilation
    )
    params |= {"kernel_size": kernel_size, "stride": stride, "padding": padding}
    return (images(n, c, *plane),), params | ({} if dilation == 1 else {"dilation": dilation})


CALL = {"input": Array((2, 3, 6, 8)), "kernel_size": (2, 3)}
BACKWARD = {"grad_output": Array((2, 3, 3, 2)), **CALL}


refuse = refusing("max_pool2d", **CALL)
refuse_backward = refusing("max_pool2d_backward", **BACKWARD)

ERRORS = (
    refuse("input of rank 2", "input.shape=(6, 8)", input=Array((6, 8))),
    refuse("kernel_size 0", "kernel_size=0", kernel_size=0),
    refuse("kernel_size negative", "kernel_size=(2, -1)", kernel_size=(2, -1)),
    refuse("kernel_size None", "kernel_size=None", kernel_size=None),
    refuse("kernel_size float", "kernel_size=2.0", kernel_size=2.0),
    refuse("stride 0", "stride=0", stride=0),
    refuse("stride negative", "stride=(-1, 1)", stride=(-1, 1)),
    refuse("dilation 0", "dilation=0", dilation=0),
    refuse("padding negative", "padding=-1", padding=-1),
    refuse("padding over half of the kernel", "padding=(1, 2)", padding=(1, 2)),
    refuse("padding over half of the kernel, under half of the dilated one", "padding=2",
            padding=2, dilation=5),
    refuse("four paddings", "padding=((0, 1), (0, 1))", padding=((0, 1), (0, 1))),
    refuse("padding word", "padding='same'", padding="same"),
    refuse("ceil_mode an int", "ceil_mode=1", ceil_mode=1),
    refuse("return_indices None", "return_indices=None", return_indices=None),
    refuse("kernel larger than the input", "kernel_size=(7, 3)", kernel_size=(7, 3)),
    refuse("a window without one valid place", "dilation=(1, 9)", kernel_size=2, padding=1,
            dilation=(1, 9)),
    refuse("no channels", "input.shape=(2, 0, 6, 8)", input=Array((2, 0, 6, 8))),
    refuse("input is a list", "input must be a NumPy array, not list", raises=TypeError,
            input=[[[1.0]]]),
    refuse("integers", "input.dtype", raises=TypeError, input=Array((2, 3, 6, 8), "int64")),
    refuse_backward("grad_output of integers", "grad_output.dtype", raises=TypeError,
                     grad_output=Array((2, 3, 3, 2), "int64")),
    refuse_backward("grad_output of another shape", "grad_output.shape=(2, 3, 3, 3)",
                     grad_output=Array((2, 3, 3, 3))),
    refuse_backward("indices of another shape", "indices.shape=(2, 3, 2, 3)",
                     indices=Array((2, 3, 2, 3), "int64")),
    refuse_backward("indices of another dtype", "indices.dtype", raises=TypeError,
                     indices=Array((2, 3, 3, 2), "int32")),
    refuse_backward("indices outside the plane", "indices must lie in [0, 48)",
                     indices=Array((2, 3, 3, 2), "int64", fill=48)),
    refuse_backward("indices below the plane", "indices must lie in [0, 48)",
                     indices=Array((2, 3, 3, 2), "int64", fill=-1)),
)  # fmt: skip

OP = OpSpec(
    name="max_pool2d",
    kernel="max_pool",
    operands=(INPUT,),
    plan=plan,
    batch_axes=lambda rank: rank - 3,
    oracle=oracle,
    macs=macs,
    terms=terms,
    linear=False,
    exact=("forward",),
    signed_zero=True,
    returns_indices=True,
    factors=FACTORS,
    call=call,
    cases=CASES,
    errors=ERRORS,
)
