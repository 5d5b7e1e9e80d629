"""What a call costs, from its plan: nominal counts, stated once, used by bench and reports.

macs are defined by each op: products summed, with taps in the padding counted, as if every window
were full; a pool counts one per tap. A gradient counts as many as the forward pass.
"""

from math import prod

from impls.spec.plan import Plan, Shape


def flops(macs: int) -> int:
    """Floating-point operations of `macs` multiply-adds: one product, one sum each."""
    return 2 * macs


def bytes_min(plan: Plan, direction: str, itemsize: int) -> int:
    """Bytes that must move: each operand of the call read once, its result written once.

    direction: "forward" or "grad_" with an input's name. A gradient reads grad_output and the
    other inputs, and writes one array like the input it belongs to.
    """
    shapes = {name: shape for name, shape in plan.inputs.items() if shape is not None}
    if direction == "forward":
        moved: list[Shape] = [*shapes.values(), plan.output]
    else:
        wrt = direction.removeprefix("grad_")
        others = [s for name, s in shapes.items() if name not in (wrt, "bias")]
        moved = [plan.output, shapes[wrt], *others]
    return itemsize * sum(map(prod, moved))
