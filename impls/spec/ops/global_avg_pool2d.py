"""global_avg_pool2d: the mean of every plane, as the document's classification head takes it."""

from math import prod
from typing import Any

import numpy as np

from impls.spec.case import Array, case, document, extended, refusing
from impls.spec.factors import IMAGE, call_on_image
from impls.spec.op import OpSpec
from impls.spec.ops.max_pool2d import INPUT
from impls.spec.plan import Plan, Shape


def plan(input: Shape) -> Plan:
    """The mean over H and W.

    input: (N, C, H, W) or (C, H, W). Returns (N, C), or (C,), as the document's global_avg_pool;
    PyTorch's adaptive_avg_pool2d(input, 1) without its last two axes.
    Raises ValueError for a plane without pixels; TypeError for other arrays than float32 or
    float64.
    """
    if min(input[2:]) < 1:
        raise ValueError(f"input.shape={input} must have at least one pixel to average")
    return Plan({"input": input}, {}, input[:2])


def oracle(F: Any, input: Any) -> Any:
    """The same call in PyTorch."""
    return F.adaptive_avg_pool2d(input, 1).flatten(-3)


def macs(plan: Plan) -> int:
    """One sum per pixel: N * C * H * W."""
    return prod(plan.shape("input"))


def _pixels(plan: Plan) -> int:
    return prod(plan.shape("input")[2:])


refuse, refuse_backward = refusing("global_avg_pool2d"), refusing("global_avg_pool2d_backward")

OP = OpSpec(
    name="global_avg_pool2d",
    kernel="global_avg_pool",
    operands=(INPUT,),
    plan=plan,
    batch_axes=lambda rank: rank - 3,
    oracle=oracle,
    macs=macs,
    terms=lambda plan: {"forward": _pixels(plan), "grad_input": 1},
    linear=True,
    divisors=lambda plan: np.array(_pixels(plan)),
    factors=IMAGE,
    call=call_on_image,
    cases=(
        document("the document's global_avg_pool", (2, 5, 4, 4)),
        document("planes of 15 pixels: fifteenths are not exact", (3, 4, 3, 5)),
        case("planes of 32 pixels: exact", (2, 3, 4, 8)),
        case("ResNet's 7 x 7", (2, 17, 7, 7)),
        case("one row", (2, 3, 1, 9)),
        case("one column", (2, 3, 6, 1)),
        case("1 x 1: the input itself", (3, 5, 1, 1)),
        case("1023 terms", (1, 3, 31, 33)),
        extended("unbatched", (4, 5, 6)),
        extended("empty batch", (0, 3, 4, 5), vacuous="there is no image"),
        extended("no channels", (2, 0, 4, 5), vacuous="there is no plane"),
        extended("large enough for several threads", (3, 8, 64, 70)),
        extended("transposed in memory", (2, 3, 4, 8), layout="transposed"),
        extended("every other element", (2, 3, 4, 8), layout="strided"),
        extended("negative strides", (2, 3, 4, 8), layout="reversed"),
        extended("read-only", (2, 3, 4, 8), layout="readonly"),
        extended("broadcast: one column in memory", (2, 3, 4, 8), layout="broadcast"),
    ),
    errors=(
        refuse("input of rank 2", "input.shape=(4, 5)",
               input=Array((4, 5))),
        refuse("a plane without rows", "input.shape=(2, 3, 0, 5)",
               input=Array((2, 3, 0, 5))),
        refuse("integers", "input.dtype", raises=TypeError,
               input=Array((2, 3, 4, 5), "int32")),
        refuse("a list", "input must be a NumPy array", raises=TypeError,
               input=[1.0]),
        refuse_backward("grad_output of integers", "grad_output.dtype", raises=TypeError,
                        grad_output=Array((2, 3), "int64"), input=Array((2, 3, 4, 5))),
        refuse_backward("grad_output with the plane's axes",
                        "grad_output.shape=(2, 3, 1, 1)", grad_output=Array((2, 3, 1, 1)),
                        input=Array((2, 3, 4, 5))),
    ),
)  # fmt: skip
