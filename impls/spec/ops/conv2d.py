"""conv2d: cross-correlation with stride, padding, dilation, groups and bias."""

from math import prod
from typing import Any

from impls.spec import factors
from impls.spec.case import Array, case, document, extended, refusing
from impls.spec.factors import IMAGE, REST, SMALL, WINDOW, Call, Factor, extents, images
from impls.spec.op import Operand, OpSpec
from impls.spec.params import IntOrPair, Pair, conv_padding, integer, pair, same_padding
from impls.spec.plan import Plan, Shape
from impls.spec.shapes import conv_output

INPUT = Operand("input", "(N, C, H, W) or (C, H, W)", (4, 3))
WEIGHT = Operand("weight", "(O, C // groups, R, S)", (4,))
BIAS = Operand("bias", "(O,)", (1,), optional=True)


def plan(
    input: Shape,
    weight: Shape,
    bias: Shape | None = None,
    stride: IntOrPair = 1,
    padding: Any = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Plan:
    """Cross-correlation of input with weight, plus bias.

    output[n, o, p, q] = bias[o] + sum over c, r, s of weight[o, c, r, s] *
    input[n, c, p * stride - padding + r * dilation, q * stride - padding + s * dilation], where c
    runs over the channels of o's group and the input is 0 outside its edges.

    input: (N, C, H, W) or (C, H, W). weight: (O, C // groups, R, S). bias: (O,) or None.
    padding: int, pair, "same" (stride 1 only), "valid", or ((top, bottom), (left, right)).
    Returns (N, O, P, Q), or (O, P, Q); PyTorch's torch.nn.functional.conv2d.
    Raises ValueError naming argument, value and rule; TypeError for other arrays than float32 or
    float64 of one dtype.
    """
    groups = integer("groups", groups, at_least=1)
    steps = pair("stride", stride, at_least=1)
    spread = pair("dilation", dilation, at_least=1)
    check_conv_operands(input, weight, in_channels=weight[1] * groups, groups=groups)
    if weight[0] % groups:
        raise ValueError(f"groups={groups} must divide out_channels={weight[0]}")
    check_bias(bias, weight[0])
    pads = _padding(padding, (weight[2], weight[3]), steps, spread)
    output = conv_output(input, weight, stride=steps, padding=pads, dilation=spread)
    given = f"input.shape={input}, weight.shape={weight}, padding={padding!r}"
    check_output(output, f"{given}, dilation={dilation!r}")
    params = {"stride": steps, "padding": pads, "dilation": spread, "groups": groups}
    return Plan({"input": input, "weight": weight, "bias": bias}, params, output)


def _padding(value: Any, kernel_size: Pair, stride: Pair, dilation: Pair) -> tuple[Pair, Pair]:
    if isinstance(value, str):
        if value == "valid":
            return (0, 0), (0, 0)
        if value == "same":
            return same_padding(kernel_size, stride, dilation)
        raise ValueError(f"padding={value!r} must be 'same', 'valid', an int or a pair of ints")
    return conv_padding(value)


def check_conv_operands(input: Shape, weight: Shape, *, in_channels: int, groups: int) -> None:
    """Raise ValueError unless the channels agree and there is a pixel and a tap to sum.

    PyTorch takes an input without channels, but answers with no output channels whatever the
    weight says; an output size below 1 is refused here.
    """
    channels = input[1]
    if channels % groups:
        raise ValueError(f"groups={groups} must divide in_channels={channels}")
    if channels != in_channels:
        raise ValueError(
            f"input.shape={input} has {channels} channels, but weight.shape={weight} with"
            f" groups={groups} must have {in_channels}"
        )
    if min(input[1:]) < 1:
        raise ValueError(f"input.shape={input} must be at least 1 on every axis but the batch")
    if min(weight) < 1:
        raise ValueError(f"weight.shape={weight} must be at least 1 on every axis")


def check_bias(bias: Shape | None, out_channels: int) -> None:
    """Raise ValueError unless bias is None or (out_channels,)."""
    if bias is not None and bias != (out_channels,):
        raise ValueError(f"bias.shape={bias} must be ({out_channels},), one per output channel")


def check_output(output: Shape, arguments: str) -> None:
    """Raise ValueError unless the output has a pixel, and memory an address for each element."""
    if min(output[2:]) < 1 or prod(output) >= 2**60:
        raise ValueError(
            f"{arguments} must give an output of at least one pixel and below 2**60 elements, not"
            f" of shape {output}"
        )


def oracle(
    F: Any, input: Any, weight: Any, bias: Any = None, *, padding: Any = 0, **params: Any
) -> Any:
    """The same call in PyTorch; sides that differ are padded explicitly."""
    if not isinstance(padding, int | str) and len(padding) == 2 and not isinstance(padding[0], int):
        (top, bottom), (left, right) = padding
        input, padding = F.pad(input, (left, right, top, bottom)), 0
    return F.conv2d(input, weight, bias, padding=padding, **params)


def macs(plan: Plan) -> int:
    """N * O * P * Q * C // groups * R * S."""
    n, o, p, q = plan.output
    _, c, r, s = plan.shape("weight")
    return n * o * p * q * c * r * s


def terms(plan: Plan) -> dict[str, int]:
    """Products summed per element of each result."""
    n, o, p, q = plan.output
    _, c, r, s = plan.shape("weight")
    return {
        "forward": c * r * s,
        "grad_input": o // plan.params["groups"] * r * s,
        "grad_weight": n * p * q,
        "grad_bias": n * p * q,
    }


CASES = (
    document("the document's conv2d: one channel, defaults", (1, 1, 6, 5), (1, 1, 3, 3)),
    document("[H, W, C] in the document is C input channels", (1, 3, 5, 7), (1, 3, 3, 3)),
    document("conv2d_strided", (1, 2, 9, 8), (1, 2, 3, 3), stride=2, padding=1),
    document("stride leaves a remainder on both axes", (1, 1, 8, 9), (2, 1, 3, 3), stride=3),
    document("Conv2DLayer: batch, filters, bias", (2, 3, 7, 6), (4, 3, 3, 3), (4,), padding=1),
    document("a 1 x 1 filter mixes channels only", (2, 3, 4, 5), (5, 3, 1, 1), (5,)),
    document("an even filter", (1, 2, 7, 6), (3, 2, 2, 2), (3,), stride=2, padding=1),
    document("padding wider than the filter", (1, 2, 4, 3), (2, 2, 2, 2), (2,), padding=3),
    case("all sizes differ", (2, 3, 8, 7), (4, 3, 3, 2), (4,)),
    case("no bias", (3, 2, 5, 6), (3, 2, 2, 3)),
    case("stride differs by axis", (2, 2, 11, 10), (3, 2, 3, 2), (3,), stride=(2, 3)),
    case("padding differs by axis", (2, 2, 6, 5), (3, 2, 3, 2), (3,), padding=(2, 1)),
    case("dilation differs by axis", (2, 2, 9, 10), (3, 2, 3, 2), (3,), dilation=(2, 4)),
    case("taps that lie in the padding", (2, 3, 9, 10), (4, 3, 3, 3), (4,), padding=(10, 6),
         dilation=(10, 6)),
    case("every parameter differs by axis", (2, 4, 13, 12), (6, 2, 3, 2), (6,),
         stride=(2, 3), padding=(3, 1), dilation=(3, 2), groups=2),
    case("four paddings, all different", (2, 2, 5, 6), (3, 2, 3, 2), (3,),
         padding=((0, 1), (2, 3))),
    case("four paddings, stride and dilation", (1, 2, 8, 9), (3, 2, 2, 3), (3,),
         padding=((3, 0), (1, 2)), stride=(3, 2), dilation=(2, 1)),
    case("padding after only, with a stride that needs it", (1, 2, 6, 7), (2, 2, 3, 2),
         padding=((0, 1), (0, 2)), stride=2),
    case("same, odd kernel", (2, 2, 6, 5), (3, 2, 3, 5), (3,), padding="same"),
    case("same, even kernel: the odd pixel goes to the end", (1, 2, 6, 5), (3, 2, 2, 4), (3,),
         padding="same"),
    case("same with dilation", (1, 2, 7, 8), (3, 2, 2, 4), (3,), padding="same", dilation=(3, 1)),
    case("valid", (1, 2, 6, 5), (3, 2, 3, 2), (3,), padding="valid",
         same_as_default=("padding",)),
    case("the axes of stride, told by values alone", (2, 2, 6, 5), (3, 2, 3, 2), (3,),
         stride=(2, 3)),
    case("the axes of dilation, told by values alone", (2, 2, 8, 7), (3, 2, 3, 2), (3,), stride=3,
         dilation=(1, 2)),
    case("padding before for after, told by values alone", (2, 2, 7, 6), (3, 2, 3, 2), (3,),
         stride=3, padding=((0, 1), (2, 1))),
    case("one-element sequences", (1, 2, 8, 7), (3, 2, 3, 2), (3,),
         stride=(2,), padding=[1], dilation=(2,)),
    case("groups", (2, 6, 7, 5), (4, 3, 3, 2), (4,), groups=2, padding=1),
    case("three groups, more outputs than inputs", (1, 3, 6, 5), (9, 1, 2, 3), (9,), groups=3,
         stride=2, padding=(1, 2)),
    case("depthwise", (2, 5, 6, 7), (5, 1, 3, 2), (5,), groups=5, padding=1),
    case("depthwise with multiplier 2, strided", (2, 3, 8, 7), (6, 1, 3, 2), (6,), groups=3,
         stride=(2, 1)),
    case("kernel as large as the input: one pixel per channel", (3, 2, 4, 5), (3, 2, 4, 5), (3,)),
    case("kernel larger than the input, inside its padding", (2, 2, 2, 3), (3, 2, 5, 4), (3,),
         padding=(2, 1)),
    case("padding larger than the kernel", (2, 2, 3, 4), (3, 2, 2, 1), (3,), padding=(3, 2)),
    case("one row of pixels", (2, 2, 1, 9), (3, 2, 1, 4), (3,), stride=(1, 2), padding=(0, 2)),
    case("one column of pixels", (2, 2, 9, 1), (3, 2, 4, 1), (3,), stride=(3, 1), padding=(1, 0)),
    case("stride larger than the kernel: pixels no window sees", (2, 2, 9, 11), (3, 2, 2, 3), (3,),
         stride=(4, 5)),
    case("1 x 1 with stride and padding: no shortcut", (2, 3, 5, 6), (4, 3, 1, 1), (4,),
         stride=(2, 3), padding=(1, 2)),
    case("1 x 1 over groups", (2, 4, 5, 3), (6, 2, 1, 1), (6,), groups=2),
    case("asymmetric kernel 1 x 7", (1, 3, 5, 9), (2, 3, 1, 7), (2,), padding=(0, 3)),
    case("asymmetric kernel 7 x 1", (1, 3, 9, 5), (2, 3, 7, 1), (2,), padding=(3, 0)),
    case("17 input channels: one past a vector of 16", (1, 17, 4, 5), (3, 17, 2, 3), (3,)),
    case("33 output channels: one past two vectors of 16", (2, 3, 4, 3), (33, 3, 2, 3), (33,),
         padding=1),
    case("49 output columns: one past three vectors of 16", (1, 2, 3, 51), (3, 2, 2, 3), (3,)),
    case("five images: batch past a vector of 4", (5, 2, 4, 5), (3, 2, 2, 3), (3,), stride=(1, 2)),
    case("360 terms", (1, 40, 4, 5), (3, 40, 3, 3), (3,), padding=(1, 2)),
    case("81 terms and a padded border", (2, 9, 6, 7), (3, 9, 3, 3), (3,), padding=(1, 2)),
    case("24 channels: wrong alone in a library once", (1, 24, 3, 4), (2, 24, 2, 1), (2,)),
    case("a plane of 64 x 64: wrong alone in a library once", (1, 1, 64, 64), (2, 1, 2, 3), (2,),
         stride=(5, 6)),
    extended("unbatched", (3, 8, 7), (4, 3, 3, 2), (4,), stride=(2, 1), padding=(1, 2)),
    extended("empty batch", (0, 2, 5, 6), (3, 2, 3, 2), (3,), vacuous="there is no image"),
    extended("huge stride: one window", (2, 2, 5, 6), (3, 2, 3, 2), (3,), stride=(50, 70)),
    extended("large enough for several threads", (2, 4, 17, 19), (8, 2, 3, 4), (8,),
             groups=2, padding=(1, 2)),
    extended("transposed in memory", (2, 4, 7, 6), (4, 2, 3, 2), (4,), groups=2, padding=1,
             layout="transposed"),
    extended("one channel, transposed in memory", (2, 1, 7, 6), (3, 1, 3, 2), (3,),
             layout="transposed"),
    extended("every other element", (2, 4, 7, 6), (4, 2, 3, 2), (4,), groups=2, stride=2,
             layout="strided"),
    extended("negative strides", (2, 3, 7, 6), (4, 3, 3, 2), (4,), padding=1, layout="reversed"),
    extended("read-only", (2, 3, 7, 6), (4, 3, 3, 2), (4,), dilation=2, layout="readonly"),
    extended("broadcast: one column in memory", (2, 3, 7, 6), (4, 3, 3, 2), (4,), padding=(1, 0),
             layout="broadcast"),
)  # fmt: skip

CHANNEL_FACTORS = {
    **IMAGE,
    **WINDOW,
    "groups": Factor((1, 2, 3), SMALL),
    # Per group: one of each in several groups is depthwise.
    "c": Factor((2, 1, 4), range(1, 6), is_tail=True),
    "o": Factor((3, 1, 4), range(1, 6), is_tail=True),
    "bias": factors.BIAS,
}
PADDINGS = (0, 1, (2, 1), ((0, 1), (2, 0)))
SIDES = ((range(4), range(4)), (range(4), range(4)))
FACTORS = {
    **CHANNEL_FACTORS,
    "padding": Factor((*PADDINGS, "same", "valid"), SIDES),
    "rest": REST,
}


def call(
    n: Any, groups: int, c: int, o: int, bias: bool, rows: int, columns: int, kernel_size: Pair,
    stride: Any, dilation: Any, padding: Any, rest: Pair,
) -> Call:  # fmt: skip
    """A call with `rows` and `columns` of output."""
    check_channels(groups, o)
    steps, spread = pair("stride", stride, at_least=1), pair("dilation", dilation, at_least=1)
    pads = _padding(padding, kernel_size, steps, spread)
    plane = extents(
        (rows, columns), rest, kernel_size=kernel_size, stride=stride, padding=pads,
        dilation=dilation,
    )  # fmt: skip
    shapes = (images(n, groups * c, *plane), (groups * o, c, *kernel_size), (groups * o,))
    params = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return shapes[: 2 + bias], params


def check_channels(groups: int, o: int) -> None:
    """Raise ValueError for one output channel: its bias' gradient, one sum, may well be 0."""
    if groups * o == 1:
        raise ValueError(f"groups={groups} of o={o} must make two channels or more")


X, W = Array((2, 4, 6, 5)), Array((6, 2, 3, 2))
CALL = {"input": X, "weight": W, "groups": 2}
DY = Array((2, 6, 4, 4))
BACKWARD = {"grad_output": DY, **CALL}


refuse = refusing("conv2d", **CALL)
refuse_backward = refusing("conv2d_backward", **BACKWARD)

ERRORS = (
    refuse("input of rank 2", "input.shape=(6, 5)", input=Array((6, 5))),
    refuse("input of rank 5", "input.shape=(1, 2, 4, 6, 5)", input=Array((1, 2, 4, 6, 5))),
    refuse("weight of rank 3", "weight.shape=(6, 2, 3)", weight=Array((6, 2, 3))),
    refuse("channels differ", "groups=1", groups=1),
    refuse("groups do not divide the input channels", "groups=3 must divide in_channels=4",
            groups=3),
    refuse("groups do not divide the output channels", "groups=2 must divide out_channels=5",
            weight=Array((5, 2, 3, 2))),
    refuse("groups 0", "groups=0", groups=0),
    refuse("groups negative", "groups=-2", groups=-2),
    refuse("groups float", "groups=2.0", groups=2.0),
    refuse("groups bool", "groups=True", groups=True),
    refuse("stride 0", "stride=0", stride=0),
    refuse("stride negative on one axis", "stride=(1, -2)", stride=(1, -2)),
    refuse("stride float", "stride=1.5", stride=1.5),
    refuse("stride bool", "stride=True", stride=True),
    refuse("stride None", "stride=None", stride=None),
    refuse("stride of three", "stride=(1, 2, 3)", stride=(1, 2, 3)),
    refuse("stride of none", "stride=()", stride=()),
    refuse("dilation 0", "dilation=(0, 1)", dilation=(0, 1)),
    refuse("dilation negative", "dilation=-1", dilation=-1),
    refuse("padding negative", "padding=-1", padding=-1),
    refuse("one of four paddings negative", "padding=((0, 1), (-1, 0))",
            padding=((0, 1), (-1, 0))),
    refuse("padding of three", "padding=(1, 1, 1)", padding=(1, 1, 1)),
    refuse("padding float", "padding=0.5", padding=0.5),
    refuse("padding unknown word", "padding='full'", padding="full"),
    refuse("same with stride", "padding='same'", padding="same", stride=2),
    refuse("kernel larger than the input", "weight.shape=(6, 2, 7, 2)",
            weight=Array((6, 2, 7, 2))),
    refuse("dilated kernel larger than the input", "dilation=(1, 5)", dilation=(1, 5)),
    refuse("input without rows", "input.shape=(2, 4, 0, 5)", input=Array((2, 4, 0, 5)),
            padding=2),
    refuse("weight without columns", "weight.shape=(6, 2, 3, 0)", weight=Array((6, 2, 3, 0)),
            padding=2),
    refuse("no channels", "input.shape=(2, 0, 6, 5)", input=Array((2, 0, 6, 5)),
            weight=Array((6, 0, 3, 2))),
    refuse("bias too short", "bias.shape=(1,)", bias=Array((1,))),
    refuse("bias of rank 2", "bias.shape=(6, 1)", bias=Array((6, 1))),
    refuse("input is a list", "input must be a NumPy array, not list", raises=TypeError,
            input=[[1.0]]),
    refuse("weight is None", "weight must be a NumPy array", raises=TypeError, weight=None),
    refuse("bias is a number", "bias must be a NumPy array", raises=TypeError, bias=1.0),
    *(
        refuse(f"dtype {dtype}", "input.dtype", raises=TypeError,
                input=Array((2, 4, 6, 5), dtype), weight=Array((6, 2, 3, 2), dtype))
        for dtype in ("int64", "int32", "bool", "complex64", "float16", "object", ">f4", "<U3")
    ),
    refuse("dtypes differ", "weight.dtype=float32", raises=TypeError,
            weight=Array((6, 2, 3, 2), "float32")),
    refuse("bias of another dtype", "bias.dtype=float32", raises=TypeError,
            bias=Array((6,), "float32")),
    refuse_backward("grad_output of another shape", "grad_output.shape=(2, 6, 4, 5)",
                     grad_output=Array((2, 6, 4, 5))),
    refuse_backward("grad_output unbatched", "grad_output.shape=(6, 4, 4)",
                     grad_output=Array((6, 4, 4))),
    refuse_backward("grad_output of another dtype", "grad_output.dtype=float32",
                     raises=TypeError, grad_output=Array((2, 6, 4, 4), "float32")),
    refuse_backward("grad_output of integers", "grad_output.dtype", raises=TypeError,
                     grad_output=Array((2, 6, 4, 4), "int64")),
    refuse_backward("grad_output is None", "grad_output must be a NumPy array",
                     raises=TypeError, grad_output=None),
    refuse_backward("output_mask of two", "output_mask=(True, False)",
                     output_mask=(True, False)),
    refuse_backward("output_mask of ints", "output_mask=(1, 1, 0)", output_mask=(1, 1, 0)),
    refuse_backward("stride 0", "stride=0", stride=0),
)  # fmt: skip

OP = OpSpec(
    name="conv2d",
    kernel="conv",
    operands=(INPUT, WEIGHT, BIAS),
    plan=plan,
    batch_axes=lambda rank: rank - 3,
    oracle=oracle,
    macs=macs,
    terms=terms,
    linear=True,
    factors=FACTORS,
    call=call,
    cases=CASES,
    errors=ERRORS,
)
