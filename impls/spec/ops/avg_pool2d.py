"""avg_pool2d: the mean of every window, with PyTorch's rules for what it divides by."""

from typing import Any

from numpy import ndarray

from impls.spec.case import Array, case, document, extended, refusing
from impls.spec.factors import Factor
from impls.spec.op import OpSpec
from impls.spec.ops.max_pool2d import (
    INPUT,
    POOL_FACTORS,
    call,
    check_pool_input,
    check_pool_output,
    macs,
    terms,
)
from impls.spec.params import IntOrPair, boolean, is_int, pair, pool_padding, pool_stride
from impls.spec.plan import Plan, Shape
from impls.spec.shapes import avg_pool_divisors, pool_output


def plan(
    input: Shape,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Plan:
    """The mean of every window.

    The sum is divided by divisor_override if given, else by the window's taps inside the input,
    with count_include_pad inside input and padding; what ceil_mode's last window has beyond the
    padding never counts.

    input: (N, C, H, W) or (C, H, W). stride: kernel_size if None.
    padding: at most half of kernel_size. Returns (N, C, P, Q), or (C, P, Q); PyTorch's
    torch.nn.functional.avg_pool2d.
    Raises ValueError naming argument, value and rule; TypeError for other arrays than float32 or
    float64.
    """
    size = pair("kernel_size", kernel_size, at_least=1)
    steps, pads = pool_stride(stride, size), pool_padding(padding, size)
    ceil_mode = boolean("ceil_mode", ceil_mode)
    count_include_pad = boolean("count_include_pad", count_include_pad)
    if divisor_override is not None:
        if not is_int(divisor_override) or not 0 < abs(int(divisor_override)) < 2**63:
            raise ValueError(f"divisor_override={divisor_override!r} must be an int64 other than 0")
        divisor_override = int(divisor_override)
    check_pool_input(input)
    output = pool_output(input, kernel_size=size, stride=steps, padding=pads, ceil_mode=ceil_mode)
    check_pool_output(output, f"kernel_size={kernel_size!r}", input)
    params = {
        "kernel_size": size,
        "stride": steps,
        "padding": pads,
        "ceil_mode": ceil_mode,
        "count_include_pad": count_include_pad,
        "divisor_override": divisor_override,
    }
    return Plan({"input": input}, params, output)


def oracle(F: Any, input: Any, *args: Any, **params: Any) -> Any:
    """The same call in PyTorch."""
    return F.avg_pool2d(input, *args, **params)


def divisors(plan: Plan) -> ndarray:
    """What each window divides by, (P, Q)."""
    params = {name: value for name, value in plan.params.items() if name != "ceil_mode"}
    return avg_pool_divisors(plan.shape("input"), plan.output, **params)


def average_terms(plan: Plan) -> dict[str, int]:
    """A window sums its taps; the gradient of a pixel at most one window per tap."""
    return {**terms(plan), "forward": terms(plan)["grad_input"]}


CASES = (
    document("the document's avg_pool2d: 2 x 2, stride 2", (2, 3, 6, 8), kernel_size=2, stride=2,
             same_as_default=("stride",)),
    document("3 x 3, stride 3: thirds are not exact", (1, 2, 9, 6), kernel_size=3, stride=3,
             same_as_default=("stride",)),
    document("4 x 4, stride 4", (1, 3, 8, 12), kernel_size=4, stride=4,
             same_as_default=("stride",)),
    case("stride is the kernel when not given", (2, 3, 9, 8), kernel_size=(3, 2)),
    case("stride None", (1, 2, 8, 7), kernel_size=(2, 3), stride=None,
         same_as_default=("stride",)),
    case("stride of an empty sequence", (1, 2, 8, 7), kernel_size=(2, 3), stride=(),
         same_as_default=("stride",)),
    case("one-element sequences", (1, 2, 9, 8), kernel_size=(3,), stride=[2], padding=(1,)),
    case("windows overlap", (2, 2, 7, 6), kernel_size=(3, 2), stride=1),
    case("kernel, stride and padding differ by axis", (2, 3, 9, 11), kernel_size=(3, 5),
         stride=(2, 3), padding=(1, 2)),
    case("padding is counted", (2, 3, 5, 6), kernel_size=(2, 4), stride=(2, 1), padding=(1, 2)),
    case("padding is not counted", (2, 3, 5, 6), kernel_size=(2, 4), stride=(2, 1),
         padding=(1, 2), count_include_pad=False),
    case("padding is not counted, thirds", (1, 2, 6, 7), kernel_size=3, stride=2, padding=1,
         count_include_pad=False),
    case("padding on one axis is not counted", (2, 2, 5, 6), kernel_size=(2, 3), padding=(0, 1),
         count_include_pad=False),
    case("rows are left over", (1, 2, 8, 9), kernel_size=(3, 2), stride=(3, 4)),
    case("ceil: the last window divides by its clipped size", (2, 2, 8, 7), kernel_size=(3, 2),
         stride=(2, 3), ceil_mode=True),
    case("ceil, padding counted, overhang not", (2, 2, 7, 8), kernel_size=(3, 4), stride=(3, 3),
         padding=(1, 2), ceil_mode=True),
    case("ceil, padding not counted", (2, 2, 7, 8), kernel_size=(3, 4), stride=(3, 3),
         padding=(1, 2), ceil_mode=True, count_include_pad=False),
    case("ceil: the last window reaches padding and beyond", (1, 3, 9, 11), kernel_size=4,
         stride=3, padding=(1, 2), ceil_mode=True),
    case("ceil: a window past the padding is dropped", (2, 2, 5, 5), kernel_size=2, stride=2,
         padding=1, ceil_mode=True, same_as_default=("stride", "ceil_mode")),
    case("ceil: 1 x 1 windows, strided: none is added", (1, 3, 6, 5), kernel_size=1, stride=2,
         ceil_mode=True, same_as_default=("ceil_mode",)),
    case("ceil: a kernel larger than the input", (3, 2, 2, 5), kernel_size=3, stride=3,
         ceil_mode=True, same_as_default=("stride",)),
    case("divisor_override", (2, 2, 6, 7), kernel_size=(2, 3), divisor_override=5),
    case("divisor_override of a power of two is exact", (2, 2, 6, 7), kernel_size=(2, 3),
         stride=1, divisor_override=8),
    case("divisor_override negative", (1, 2, 6, 7), kernel_size=(3, 2), divisor_override=-2),
    case("divisor_override beats count_include_pad", (1, 2, 6, 7), kernel_size=(3, 2), padding=1,
         divisor_override=4, count_include_pad=False, same_as_default=("count_include_pad",)),
    case("divisor_override beats the ceil overhang", (1, 2, 6, 7), kernel_size=(3, 2),
         stride=(2, 2), padding=(1, 0), divisor_override=3, ceil_mode=True),
    case("stride larger than the kernel: pixels no window sees", (2, 2, 9, 11),
         kernel_size=(2, 3), stride=(4, 5)),
    case("the whole plane is one window", (3, 4, 3, 5), kernel_size=(3, 5)),
    case("17 channels: one past a vector of 16", (1, 17, 4, 6), kernel_size=2),
    case("49 output columns: one past three vectors of 16", (1, 1, 4, 51), kernel_size=(2, 3),
         stride=(2, 1)),
    case("GoogLeNet's 3 x 3, stride 1, padding 1", (1, 2, 5, 6), kernel_size=3, stride=1,
         padding=1),
    extended("unbatched", (3, 7, 6), kernel_size=(2, 3), stride=2, padding=1),
    extended("empty batch", (0, 3, 7, 6), kernel_size=2, vacuous="there is no image"),
    extended("huge stride: one window", (2, 3, 5, 6), kernel_size=(3, 2), stride=(50, 70)),
    extended("large enough for several threads", (3, 8, 25, 27), kernel_size=(4, 2),
             stride=1, padding=1),
    extended("transposed in memory", (2, 3, 6, 8), kernel_size=(2, 4), layout="transposed"),
    extended("every other element", (2, 3, 6, 8), kernel_size=(2, 4), layout="strided"),
    extended("negative strides", (2, 3, 6, 8), kernel_size=(2, 4), layout="reversed"),
    extended("read-only", (2, 3, 6, 8), kernel_size=(2, 4), layout="readonly"),
    extended("broadcast: one column in memory", (2, 3, 6, 8), kernel_size=(2, 4),
             layout="broadcast"),
)  # fmt: skip

FACTORS = {
    **POOL_FACTORS,
    "count_include_pad": Factor((True, False)),
    "divisor_override": Factor((None, 3, -2)),
}

CALL = {"input": Array((2, 3, 6, 8)), "kernel_size": (2, 3)}
BACKWARD = {"grad_output": Array((2, 3, 3, 2)), **CALL}


refuse = refusing("avg_pool2d", **CALL)
refuse_backward = refusing("avg_pool2d_backward", **BACKWARD)

ERRORS = (
    refuse("input of rank 5", "input.shape=(1, 1, 1, 6, 8)", input=Array((1, 1, 1, 6, 8))),
    refuse("kernel_size 0", "kernel_size=(0, 2)", kernel_size=(0, 2)),
    refuse("kernel_size of three", "kernel_size=(2, 2, 2)", kernel_size=(2, 2, 2)),
    refuse("stride 0", "stride=0", stride=0),
    refuse("padding negative", "padding=(-1, 0)", padding=(-1, 0)),
    refuse("padding over half of the kernel", "padding=(2, 1)", padding=(2, 1)),
    refuse("four paddings", "padding=((0, 1), (0, 1))", padding=((0, 1), (0, 1))),
    refuse("divisor_override 0", "divisor_override=0", divisor_override=0),
    refuse("divisor_override float", "divisor_override=2.0", divisor_override=2.0),
    refuse("divisor_override bool", "divisor_override=True", divisor_override=True),
    refuse("integers", "input.dtype", raises=TypeError, input=Array((2, 3, 6, 8), "int64")),
    refuse("ceil_mode an int", "ceil_mode=0", ceil_mode=0),
    refuse("count_include_pad None", "count_include_pad=None", count_include_pad=None),
    refuse("kernel larger than the input", "kernel_size=(2, 9)", kernel_size=(2, 9)),
    refuse("no rows", "input.shape=(2, 3, 0, 8)", input=Array((2, 3, 0, 8))),
    refuse("float16", "input.dtype", raises=TypeError, input=Array((2, 3, 6, 8), "float16")),
    refuse_backward("grad_output of integers", "grad_output.dtype", raises=TypeError,
                     grad_output=Array((2, 3, 3, 2), "int64")),
    refuse_backward("grad_output of another shape", "grad_output.shape=(2, 3, 2, 3)",
                    grad_output=Array((2, 3, 2, 3))),
    refuse_backward("grad_output of another dtype", "grad_output.dtype=float32",
                    raises=TypeError, grad_output=Array((2, 3, 3, 2), "float32")),
)  # fmt: skip

OP = OpSpec(
    name="avg_pool2d",
    kernel="avg_pool",
    operands=(INPUT,),
    plan=plan,
    batch_axes=lambda rank: rank - 3,
    oracle=oracle,
    macs=macs,
    terms=average_terms,
    linear=True,
    divisors=divisors,
    factors=FACTORS,
    call=call,
    cases=CASES,
    errors=ERRORS,
)
