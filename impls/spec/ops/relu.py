"""relu: negative values become 0."""

from math import prod
from typing import Any

from impls.spec.case import Array, case, document, extended, refusing
from impls.spec.factors import IMAGE, call_on_image
from impls.spec.op import Operand, OpSpec
from impls.spec.plan import Plan, Shape


def plan(input: Shape) -> Plan:
    """The larger of 0 and each value; NaN stays NaN and -0.0 stays -0.0.

    The gradient passes where input > 0 or is NaN; it is 0 at 0.

    input: any shape. Returns the same shape; PyTorch's torch.nn.functional.relu.
    Raises TypeError for other arrays than float32 or float64.
    """
    return Plan({"input": input}, {}, input)


def oracle(F: Any, input: Any) -> Any:
    """The same call in PyTorch."""
    return F.relu(input)


refuse, refuse_backward = refusing("relu"), refusing("relu_backward")

OP = OpSpec(
    name="relu",
    kernel="relu",
    operands=(Operand("input", "of any shape", range(65)),),
    plan=plan,
    # (C, H, W) is one image; a single value becomes one element. Other shapes stay as they are.
    batch_axes=lambda rank: 0 if rank in (0, 3) else 1,
    oracle=oracle,
    macs=lambda plan: prod(plan.output),
    terms=lambda plan: {"forward": 1, "grad_input": 1},
    linear=False,
    exact=("forward", "grad_input"),
    signed_zero=True,
    factors=IMAGE,
    call=call_on_image,
    cases=(
        document("the document's relu, on feature maps", (2, 3, 4, 5)),
        document("on a plane", (7, 6)),
        case("one axis, past three vectors of 16", (49,)),
        case("five axes", (2, 3, 2, 3, 2)),
        extended("unbatched", (3, 5, 4)),
        extended("empty batch", (0, 3, 4, 5), vacuous="there is no image"),
        extended("no columns", (2, 3, 0), vacuous="there is no value"),
        extended("one value, no axes", (), vacuous="there is only one value"),
        extended("large enough for several threads", (3, 8, 64, 70)),
        extended("transposed in memory", (2, 3, 4, 5), layout="transposed"),
        extended("every other element", (2, 3, 4, 5), layout="strided"),
        extended("negative strides", (2, 3, 4, 5), layout="reversed"),
        extended("read-only", (2, 3, 4, 5), layout="readonly"),
        extended("broadcast: one column in memory", (2, 3, 4, 5), layout="broadcast"),
    ),
    errors=(
        refuse("integers", "input.dtype", raises=TypeError, input=Array((3, 4), "int64")),
        refuse("a number", "input must be a NumPy array, not float", raises=TypeError,
               input=1.5),
        refuse_backward("grad_output of integers", "grad_output.dtype", raises=TypeError,
                        grad_output=Array((3, 4), "int64"), input=Array((3, 4))),
        refuse_backward("grad_output of another shape", "grad_output.shape=(4, 3)",
                        grad_output=Array((4, 3)), input=Array((3, 4))),
    ),
)  # fmt: skip
