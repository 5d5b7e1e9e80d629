"""conv_transpose2d: the transpose of conv2d, with output_padding."""

from typing import Any

from impls.spec.case import Array, case, document, extended, refusing
from impls.spec.factors import PAIR, Call, Factor, check_meeting, images
from impls.spec.op import Operand, OpSpec
from impls.spec.ops.conv2d import (
    BIAS,
    CHANNEL_FACTORS,
    INPUT,
    PADDINGS,
    SIDES,
    check_bias,
    check_channels,
    check_conv_operands,
    check_output,
)
from impls.spec.params import IntOrPair, Pair, conv_padding, integer, pair
from impls.spec.plan import Params, Plan, Shape
from impls.spec.shapes import conv_transpose_output

WEIGHT = Operand("weight", "(C, O // groups, R, S)", (4,))


def plan(
    input: Shape,
    weight: Shape,
    bias: Shape | None = None,
    stride: IntOrPair = 1,
    padding: Any = 0,
    output_padding: IntOrPair = 0,
    groups: int = 1,
    dilation: IntOrPair = 1,
) -> Plan:
    """Transposed convolution: every input pixel spreads weight over the output, plus bias.

    output[n, o, i * stride - padding + r * dilation, j * stride - padding + s * dilation] sums
    weight[c, o, r, s] * input[n, c, i, j]; what falls outside the output is dropped.

    input: (N, C, H, W) or (C, H, W). weight: (C, O // groups, R, S). bias: (O,) or None.
    padding: int, pair, or ((top, bottom), (left, right)): rows and columns cut off the output.
    output_padding: rows and columns added at its end, below stride or below dilation.
    Returns (N, O, P, Q), or (O, P, Q); PyTorch's torch.nn.functional.conv_transpose2d.
    Raises ValueError naming argument, value and rule; TypeError for other arrays than float32 or
    float64 of one dtype.
    """
    groups = integer("groups", groups, at_least=1)
    params: Params = {
        "stride": pair("stride", stride, at_least=1),
        "padding": conv_padding(padding),
        "output_padding": pair("output_padding", output_padding, at_least=0),
        "groups": groups,
        "dilation": pair("dilation", dilation, at_least=1),
    }
    check_conv_operands(input, weight, in_channels=weight[0], groups=groups)
    check_bias(bias, weight[1] * groups)
    axes = zip(params["output_padding"], params["stride"], params["dilation"], strict=True)
    if any(extra >= max(step, spread) for extra, step, spread in axes):
        raise ValueError(
            f"output_padding={output_padding!r} must be below stride={stride!r} or below"
            f" dilation={dilation!r} on each axis"
        )
    output = conv_transpose_output(input, weight, **params)
    given = f"input.shape={input}, weight.shape={weight}, stride={stride!r}"
    check_output(output, f"{given}, padding={padding!r}, dilation={dilation!r}")
    return Plan({"input": input, "weight": weight, "bias": bias}, params, output)


def oracle(
    F: Any, input: Any, weight: Any, bias: Any = None, *, padding: Any = 0, **params: Any
) -> Any:
    """The same call in PyTorch; sides that differ are cut off explicitly."""
    if isinstance(padding, int) or len(padding) != 2 or isinstance(padding[0], int):
        return F.conv_transpose2d(input, weight, bias, padding=padding, **params)
    full = F.conv_transpose2d(input, weight, bias, **params)
    (top, bottom), (left, right) = padding
    return full[..., top : full.shape[-2] - bottom, left : full.shape[-1] - right]


def macs(plan: Plan) -> int:
    """N * C * H * W * O // groups * R * S."""
    n, c, h, w = plan.shape("input")
    _, o, r, s = plan.shape("weight")
    return n * c * h * w * o * r * s


def terms(plan: Plan) -> dict[str, int]:
    """Products summed per element of each result; for the output, taps that may meet one pixel."""
    n, c, h, w = plan.shape("input")
    _, o, r, s = plan.shape("weight")
    _, _, p, q = plan.output
    return {
        "forward": c // plan.params["groups"] * r * s,
        "grad_input": o * r * s,
        "grad_weight": n * h * w,
        "grad_bias": n * p * q,
    }


CASES = (
    document("the document's transposed_conv2d: one channel, stride 2", (1, 1, 4, 5),
             (1, 1, 3, 3), stride=2),
    document("stride 1: a true convolution, full size", (1, 1, 5, 4), (1, 1, 3, 3)),
    document("an even filter", (1, 1, 3, 4), (1, 1, 2, 2), stride=2),
    document("channels in and out", (2, 3, 4, 3), (3, 2, 3, 3), (2,), stride=2),
    document("stride beyond the filter leaves gaps of bias alone", (1, 2, 3, 4), (2, 3, 2, 2),
             (3,), stride=3),
    case("all sizes differ", (2, 3, 5, 4), (3, 4, 3, 2), (4,)),
    case("no bias", (3, 2, 4, 5), (2, 3, 2, 3), stride=2),
    case("stride differs by axis", (2, 2, 4, 5), (2, 3, 3, 4), (3,), stride=(2, 3)),
    case("padding differs by axis", (2, 2, 5, 4), (2, 3, 3, 4), (3,), padding=(1, 2)),
    case("dilation differs by axis", (2, 2, 4, 5), (2, 3, 3, 2), (3,), dilation=(2, 3)),
    case("output_padding on rows only", (2, 2, 4, 3), (2, 3, 3, 2), (3,), stride=(2, 3),
         output_padding=(1, 0)),
    case("output_padding on columns only", (2, 2, 4, 3), (2, 3, 3, 2), (3,), stride=(2, 3),
         output_padding=(0, 2)),
    case("output_padding continues the convolution into the cut-off rows", (1, 2, 4, 5),
         (2, 3, 4, 5), (3,), stride=(2, 3), padding=(2, 1), output_padding=(1, 2)),
    case("output_padding past every tap: bias alone", (1, 2, 3, 4), (2, 2, 2, 1), (2,),
         stride=(3, 2), output_padding=(2, 1)),
    case("output_padding below dilation, not below stride", (1, 2, 4, 3), (2, 3, 2, 3), (3,),
         dilation=(3, 2), output_padding=(2, 1)),
    case("output_padding a stride and more", (2, 2, 4, 3), (2, 3, 2, 2), (3,), stride=(2, 1),
         dilation=(4, 3), output_padding=(3, 2), padding=(1, 0)),
    case("every parameter differs by axis", (2, 4, 5, 4), (4, 3, 3, 2), (6,),
         stride=(2, 3), padding=(3, 1), output_padding=(1, 2), groups=2, dilation=(3, 2)),
    case("four paddings, all different", (2, 2, 5, 6), (2, 3, 4, 3), (3,),
         padding=((0, 1), (2, 3))),
    case("four paddings, stride, dilation and output_padding", (1, 2, 4, 5), (2, 3, 3, 2), (3,),
         padding=((3, 0), (1, 2)), stride=(3, 2), dilation=(2, 3), output_padding=(2, 1)),
    case("one-element sequences", (1, 2, 4, 5), (2, 3, 3, 2), (3,), stride=(2,), padding=[1],
         output_padding=(1,), dilation=(2,)),
    case("groups", (2, 4, 4, 5), (4, 3, 3, 2), (6,), groups=2, stride=2, padding=1),
    case("three groups of one output", (1, 6, 4, 3), (6, 1, 2, 3), (3,), groups=3,
         stride=(1, 2)),
    case("depthwise", (2, 5, 4, 3), (5, 1, 3, 2), (5,), groups=5, stride=2, padding=1),
    case("depthwise with multiplier 2", (2, 3, 4, 3), (3, 2, 3, 2), (6,), groups=3, stride=(2, 1)),
    case("DCGAN's 4 x 4, stride 2, padding 1", (1, 3, 5, 4), (3, 2, 4, 4), stride=2, padding=1),
    case("U-Net's 2 x 2, stride 2: no tap meets another", (1, 4, 4, 3), (4, 2, 2, 2), (2,),
         stride=2),
    case("1 x 1 input: the weight itself", (3, 2, 1, 1), (2, 3, 3, 4), (3,)),
    case("1 x 1 kernel, strided: mostly bias", (2, 3, 3, 4), (3, 2, 1, 1), (2,), stride=(2, 3)),
    case("1 x 1 kernel, strided and cut off", (2, 3, 4, 5), (3, 2, 1, 1), (2,), stride=(2, 3),
         padding=(1, 2)),
    case("360 terms", (1, 40, 4, 5), (40, 2, 3, 3), (2,)),
    case("padding larger than the kernel", (1, 2, 7, 8), (2, 3, 2, 3), (3,), padding=(2, 3)),
    case("1 x 7 and its padding", (1, 3, 4, 9), (3, 2, 1, 7), (2,), padding=(0, 3)),
    case("17 input channels: one past a vector of 16", (1, 17, 3, 4), (17, 2, 2, 3), (2,)),
    case("33 output channels: one past two vectors of 16", (1, 2, 3, 4), (2, 33, 2, 3), (33,),
         stride=2),
    case("five images: batch past a vector of 4", (5, 2, 3, 4), (2, 3, 3, 2), (3,),
         stride=(1, 2)),
    extended("unbatched", (3, 5, 4), (3, 4, 3, 2), (4,), stride=(2, 1), padding=(1, 0)),
    extended("empty batch", (0, 2, 5, 6), (2, 3, 3, 2), (3,), stride=2,
             vacuous="there is no image"),
    extended("huge stride: bias alone almost everywhere", (2, 2, 2, 3), (2, 3, 3, 2), (3,),
             stride=(9, 11)),
    extended("large enough for several threads", (2, 4, 16, 17), (4, 4, 3, 4), (8,),
             groups=2, padding=(1, 2), stride=(2, 1)),
    extended("transposed in memory", (2, 4, 4, 5), (4, 2, 3, 2), (4,), groups=2, padding=1,
             layout="transposed"),
    extended("one channel, transposed in memory", (2, 1, 4, 5), (1, 3, 3, 2), (3,),
             layout="transposed"),
    extended("every other element", (2, 4, 4, 5), (4, 2, 3, 2), (4,), groups=2, stride=2,
             layout="strided"),
    extended("negative strides", (2, 3, 4, 5), (3, 4, 3, 2), (4,), padding=1, layout="reversed"),
    extended("read-only", (2, 3, 4, 5), (3, 4, 3, 2), (4,), dilation=2, layout="readonly"),
    extended("broadcast: one column in memory", (2, 3, 4, 5), (3, 4, 3, 2), (4,), padding=(1, 0),
             layout="broadcast"),
)  # fmt: skip

FACTORS = {
    **CHANNEL_FACTORS,
    # Of the input: plain ones leave an output whatever the padding cuts off.
    "rows": Factor((3, 1, 2), range(1, 5)),
    "columns": Factor((4, 1, 2), range(1, 6), is_tail=True),
    "stride": Factor((2, 1, (2, 3), (5, 1)), PAIR),
    "padding": Factor(PADDINGS, SIDES),
    "output_padding": Factor((0, 1, (1, 2)), (range(3), range(3))),
}


def call(
    n: Any, groups: int, c: int, o: int, bias: bool, rows: int, columns: int, kernel_size: Pair,
    stride: Any, dilation: Any, padding: Any, **params: Any,
) -> Call:  # fmt: skip
    """A call with `rows` and `columns` of input."""
    check_channels(groups, o)
    params |= {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
    image = images(n, groups * c, rows, columns)
    shapes = (image, (groups * c, o, *kernel_size), (groups * o,))
    plan_of = plan(images(2, *image[-3:]), *shapes[1:], **params)
    taken = (plan_of.params[name] for name in ("stride", "padding", "dilation"))
    check_meeting((plan_of.output[2], plan_of.output[3]), (rows, columns), kernel_size, *taken)
    return shapes[: 2 + bias], params


CALL = {"input": Array((2, 4, 5, 6)), "weight": Array((4, 3, 3, 2)), "groups": 2}
BACKWARD = {"grad_output": Array((2, 6, 7, 7)), **CALL}


refuse = refusing("conv_transpose2d", **CALL)
refuse_backward = refusing("conv_transpose2d_backward", **BACKWARD)

ERRORS = (
    refuse("input of rank 2", "input.shape=(5, 6)", input=Array((5, 6))),
    refuse("weight of rank 3", "weight.shape=(4, 3, 3)", weight=Array((4, 3, 3))),
    refuse("channels differ", "input.shape=(2, 6, 5, 6)", input=Array((2, 6, 5, 6))),
    refuse("groups do not divide the input channels", "groups=3 must divide in_channels=4",
            groups=3),
    refuse("groups 0", "groups=0", groups=0),
    refuse("stride 0", "stride=(2, 0)", stride=(2, 0)),
    refuse("stride negative", "stride=-1", stride=-1),
    refuse("dilation 0", "dilation=0", dilation=0),
    refuse("padding negative", "padding=(0, -1)", padding=(0, -1)),
    refuse("padding word", "padding='same'", padding="same"),
    refuse("output_padding negative", "output_padding=-1", output_padding=-1),
    refuse("output_padding not below stride or dilation", "output_padding=1 ",
           output_padding=1),
    refuse("output_padding not below them on one axis", "output_padding=(1, 2)",
            output_padding=(1, 2), stride=(2, 2)),
    refuse("nothing left of the output", "padding=(4, 0)", padding=(4, 0)),
    refuse("input without columns", "input.shape=(2, 4, 5, 0)", input=Array((2, 4, 5, 0))),
    refuse("weight without outputs", "weight.shape=(4, 0, 3, 2)", weight=Array((4, 0, 3, 2))),
    refuse("bias of the group's size", "bias.shape=(3,)", bias=Array((3,))),
    refuse("input is a tuple", "input must be a NumPy array, not tuple", raises=TypeError,
            input=(1.0, 2.0)),
    refuse("integers", "input.dtype", raises=TypeError, input=Array((2, 4, 5, 6), "int64")),
    refuse("dtypes differ", "weight.dtype=float32", raises=TypeError,
            weight=Array((4, 3, 3, 2), "float32")),
    refuse_backward("grad_output of integers", "grad_output.dtype", raises=TypeError,
                     grad_output=Array((2, 6, 7, 7), "int64")),
    refuse_backward("grad_output of another shape", "grad_output.shape=(2, 6, 7, 6)",
                     grad_output=Array((2, 6, 7, 6))),
    refuse_backward("grad_output of another dtype", "grad_output.dtype=float32",
                     raises=TypeError, grad_output=Array((2, 6, 7, 7), "float32")),
    refuse_backward("output_mask a bool", "output_mask=True", output_mask=True),
)  # fmt: skip

OP = OpSpec(
    name="conv_transpose2d",
    kernel="conv_transpose",
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
