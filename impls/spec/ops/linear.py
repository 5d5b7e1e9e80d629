"""linear: a fully connected layer."""

from math import prod
from typing import Any

from impls.spec import factors
from impls.spec.case import Array, case, document, extended, refusing
from impls.spec.factors import Factor
from impls.spec.op import Operand, OpSpec
from impls.spec.ops.conv2d import BIAS, check_bias
from impls.spec.plan import Plan, Shape


def plan(input: Shape, weight: Shape, bias: Shape | None = None) -> Plan:
    """Input @ weight.T + bias.

    input: (*, in_features). weight: (out_features, in_features), as PyTorch; the document's fc is
    its transpose. bias: (out_features,) or None.
    Returns (*, out_features); PyTorch's torch.nn.functional.linear. Kernels see (N, in_features).
    Raises ValueError naming argument, value and rule; TypeError for other arrays than float32 or
    float64 of one dtype.
    """
    if input[1] != weight[1]:
        raise ValueError(
            f"input.shape={input} has {input[1]} features, but weight.shape={weight} must have as"
            " many columns"
        )
    check_bias(bias, weight[0])
    return Plan({"input": input, "weight": weight, "bias": bias}, {}, (input[0], weight[0]))


def oracle(F: Any, input: Any, weight: Any, bias: Any = None) -> Any:
    """The same call in PyTorch."""
    return F.linear(input, weight, bias)


def terms(plan: Plan) -> dict[str, int]:
    """Products summed per element of each result."""
    rows, outputs = plan.output
    return {
        "forward": plan.shape("weight")[1],
        "grad_input": outputs,
        "grad_weight": rows,
        "grad_bias": rows,
    }


refuse, refuse_backward = refusing("linear"), refusing("linear_backward")

OP = OpSpec(
    name="linear",
    kernel="linear",
    operands=(
        Operand("input", "(*, in_features)", range(1, 65)),
        Operand("weight", "(out_features, in_features)", (2,)),
        BIAS,
    ),
    plan=plan,
    batch_axes=lambda rank: rank - 1,
    oracle=oracle,
    macs=lambda plan: prod(plan.output) * plan.shape("weight")[1],
    terms=terms,
    linear=True,
    factors={
        "lead": Factor(((4,), (1,), (), (2, 2)), (range(1, 6),)),
        "c": Factor((4, 2, 3), range(1, 8), is_tail=True),
        "o": Factor((5, 2, 4), range(1, 8), is_tail=True),
        "bias": factors.BIAS,
    },
    call=lambda lead, c, o, bias: (((*lead, c), (o, c), (o,))[: 2 + bias], {}),
    cases=(
        document("the document's x @ fc + fc_bias", (3, 7), (5, 7), (5,)),
        document("without bias", (4, 6), (3, 6)),
        case("as many outputs as inputs", (3, 6), (6, 6), (6,)),
        case("one row", (1, 9), (4, 9), (4,)),
        case("one output: a dot product per row", (5, 8), (1, 8), (1,)),
        case("one input feature", (4, 1), (3, 1), (3,)),
        case("17 features in, 33 out", (3, 17), (33, 17), (33,)),
        case("300 terms", (2, 300), (3, 300), (3,)),
        case("leading axes", (2, 3, 4), (5, 4), (5,)),
        case("one vector", (6,), (4, 6), (4,)),
        extended("empty batch", (0, 4), (3, 4), (3,), vacuous="there is no row"),
        extended("no input feature: bias alone", (3, 0), (4, 0), (4,),
                 vacuous="the bias repeats, the weight is empty"),
        extended("no output feature", (3, 4), (0, 4), (0,), vacuous="there is no output"),
        extended("no row of a leading axis", (2, 0, 4), (3, 4), (3,), vacuous="there is no row"),
        extended("large enough for several threads", (33, 100), (64, 100), (64,)),
        extended("transposed in memory", (3, 7), (5, 7), (5,), layout="transposed"),
        extended("every other element", (3, 7), (5, 7), (5,), layout="strided"),
        extended("negative strides", (3, 7), (5, 7), (5,), layout="reversed"),
        extended("read-only", (3, 7), (5, 7), (5,), layout="readonly"),
        extended("broadcast: one column in memory", (3, 7), (5, 7), (5,), layout="broadcast",
                 vacuous="all columns are one: gradients of parameters are the same everywhere"),
    ),
    errors=(
        refuse("features differ", "input.shape=(3, 7)", input=Array((3, 7)),
               weight=Array((7, 5))),
        refuse("weight of rank 1", "weight.shape=(7,)", input=Array((3, 7)),
               weight=Array((7,))),
        refuse("input without axes", "input.shape=()", input=Array(()),
               weight=Array((5, 7))),
        refuse("bias of one", "bias.shape=(1,)", input=Array((3, 7)),
               weight=Array((5, 7)), bias=Array((1,))),
        refuse("dtypes differ", "weight.dtype=float32", raises=TypeError,
               input=Array((3, 7)), weight=Array((5, 7), "float32")),
        refuse("integers", "input.dtype", raises=TypeError,
               input=Array((3, 7), "int64"), weight=Array((5, 7), "int64")),
        refuse_backward("grad_output of integers", "grad_output.dtype", raises=TypeError,
                        grad_output=Array((3, 5), "int64"), input=Array((3, 7)),
                        weight=Array((5, 7))),
        refuse_backward("grad_output of another shape", "grad_output.shape=(3, 7)",
                        grad_output=Array((3, 7)), input=Array((3, 7)), weight=Array((5, 7))),
        refuse_backward("output_mask of one", "output_mask=(True,)",
                        grad_output=Array((3, 5)), input=Array((3, 7)), weight=Array((5, 7)),
                        output_mask=(True,)),
    ),
)  # fmt: skip
