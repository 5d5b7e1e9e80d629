"""AXIOMS: what every right backend fulfills, whatever PyTorch says; NumPy judges it alone.

pytest conformance --oracle none

Each axiom is a function that yields equations between answers of one backend to varied calls, or
between an answer and the arrays it was given. Its docstring is the equation. On integers they
hold exactly.

Sources: Dumoulin and Visin 2016 for padding, stride and dilation by zeros, and for transposition
(chapters 2, 4 and 5); Claerbout 1992 for the dot-product test, here adjoint and adjointness; JAX's
check_grads_bilinear for steps of 1; linearity, translation and impulses (taps) are what defines a
convolution. Geometry is the plan's (impls/spec/), which the suite holds against PyTorch elsewhere.

trial.py         a case on a backend, and the comparison of two sides
general.py       every op: notation, batches, linearity, NaN
convolutions.py  conv2d, conv_transpose2d and linear
pools.py         max_pool2d, avg_pool2d, global_avg_pool2d
elementwise.py   relu, image_to_patches
gradients.py     gradients by integer steps, and by adjointness
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from conformance.axioms import convolutions, elementwise, general, gradients, pools
from conformance.axioms.trial import MOST_MACS, Equation, Trial, Undecided
from conformance.verdict import Evidence
from impls.backend import Backend
from impls.spec.case import CORE, DOCUMENT, LEVELS, Case
from impls.spec.op import FORWARD, OpSpec
from impls.spec.ops import OPS
from impls.spec.plan import Plan

__all__ = ["AXIOMS", "Axiom", "Undecided", "asked", "broken"]

Law = Callable[[Trial], Iterator[Equation]]
Premise = Callable[[Plan], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axiom:
    """An equation that holds for the cases that fulfill its premise.

    name: what a check calls it. law: yields its equations. ops, directions: what it is about.
    premise: whether it says anything about a call. extended: it is asked at that level.
    of: levels of the cases it is asked of; extended ones are empty, or lie otherwise in memory.
    """

    name: str
    law: Law
    ops: tuple[str, ...]
    directions: tuple[str, ...]
    premise: Premise = lambda plan: True
    extended: bool = False
    of: tuple[str, ...] = (DOCUMENT, CORE)

    @property
    def equation(self) -> str:
        """The law in one line."""
        law: Any = self.law
        doc = getattr(law, "func", law).__doc__ or ""
        return doc.partition("\n")[0].rstrip(".")


EVERY = tuple(OPS)
LINEAR = tuple(name for name, op in OPS.items() if op.linear)
CONVOLUTIONS = ("conv2d", "conv_transpose2d")
SUMS = (*CONVOLUTIONS, "linear")
AVERAGES = ("avg_pool2d", "global_avg_pool2d")
INPUT, WEIGHT, BIAS = "grad_input", "grad_weight", "grad_bias"
GRADIENTS = (INPUT, WEIGHT, BIAS, "grad_image")
ANY = (FORWARD, *GRADIENTS)


def _other_than(name: str, *values: Any) -> Premise:
    """A premise: a parameter has none of these values."""
    return lambda plan: plan.params[name] not in values


def _has_bias(plan: Plan) -> bool:
    return plan.inputs["bias"] is not None


def _has_channels(plan: Plan) -> bool:
    """Whether there is more than one input channel to sum in each group."""
    return plan.shape("input")[1] // plan.params.get("groups", 1) > 1


def _has_windows(plan: Plan) -> bool:
    """Whether both axes have a second window, and an input larger than the stride."""
    (_, _, h, w), (_, _, p, q) = plan.shape("input"), plan.output
    rows, columns = plan.params["stride"]
    return min(p, q, h - rows + 1, w - columns + 1) > 1


def _outgrows_stride(plan: Plan) -> bool:
    """Whether both axes of the input have a second pixel, and the output more than a stride."""
    (_, _, h, w), (_, _, p, q) = plan.shape("input"), plan.output
    rows, columns = plan.params["stride"]
    return min(h, w, p - rows + 1, q - columns + 1) > 1


def _is_dense_without(plan: Plan) -> bool:
    """Whether output_padding is allowed without dilation."""
    extra, steps = plan.params.get("output_padding", (0, 0)), plan.params["stride"]
    return plan.params["dilation"] != (1, 1) and all(
        e < s for e, s in zip(extra, steps, strict=True)
    )


def _has_stride_alone(plan: Plan) -> bool:
    return plan.params["stride"] != (1, 1) and plan.params["output_padding"] == (0, 0)


NO_PADDING = ((0, 0), (0, 0))
AXIOMS = (
    Axiom(name="notation", law=general.notation, ops=EVERY, directions=ANY, of=LEVELS),
    Axiom(name="empty_sum", law=general.no_images, ops=SUMS, directions=(WEIGHT, BIAS),
          premise=lambda plan: plan.output[0] == 0, of=LEVELS),
    Axiom(name="empty_sum", law=general.no_features, ops=("linear",), directions=(FORWARD,),
          premise=lambda plan: plan.shape("weight")[1] == 0, of=LEVELS),
    Axiom(name="batch", law=general.batch, ops=tuple(n for n in EVERY if OPS[n].batch_axes),
          directions=ANY, premise=lambda plan: plan.output[0] > 1),
    Axiom(name="additive", law=general.additive, ops=LINEAR, directions=ANY),
    Axiom(name="scaling", law=general.scaling, ops=LINEAR, directions=ANY, extended=True,
          of=(DOCUMENT,)),
    Axiom(name="dye", law=general.dye, ops=LINEAR, directions=(FORWARD, INPUT, "grad_image"),
          extended=True),
    # The dye lies where windows are looked at, so that it never meets a structural zero.
    Axiom(name="dye", law=partial(general.dye, at=1), ops=("conv2d", "linear"),
          directions=(WEIGHT,), extended=True),
    Axiom(name="dye", law=general.dye, ops=("conv_transpose2d",), directions=(WEIGHT,),
          extended=True),
    Axiom(name="bias", law=convolutions.bias, ops=SUMS, directions=(FORWARD,), premise=_has_bias),
    Axiom(name="groups", law=convolutions.groups, ops=CONVOLUTIONS, directions=(FORWARD,),
          premise=_other_than("groups", 1)),
    Axiom(name="channels", law=convolutions.channels, ops=("conv2d", "linear"),
          directions=(FORWARD,), premise=_has_channels),
    Axiom(name="channels", law=partial(convolutions.channels, axis=0), ops=("conv_transpose2d",),
          directions=(FORWARD,), premise=_has_channels),
    Axiom(name="dilation", law=convolutions.dilation, ops=CONVOLUTIONS, directions=(FORWARD,),
          premise=_is_dense_without),
    Axiom(name="visits", law=convolutions.visits, ops=CONVOLUTIONS,
          directions=(FORWARD, INPUT, WEIGHT)),
    Axiom(name="padding", law=convolutions.padding, ops=("conv2d",), directions=(FORWARD,),
          premise=_other_than("padding", NO_PADDING)),
    Axiom(name="stride", law=convolutions.stride, ops=("conv2d",), directions=(FORWARD,),
          premise=_other_than("stride", (1, 1))),
    Axiom(name="translation", law=convolutions.translation, ops=("conv2d",),
          directions=(FORWARD,), premise=_has_windows),
    Axiom(name="taps", law=convolutions.taps, ops=("conv2d",), directions=(FORWARD,)),
    Axiom(name="padding", law=convolutions.cropping, ops=("conv_transpose2d",),
          directions=(FORWARD,), premise=_other_than("padding", NO_PADDING)),
    Axiom(name="output_padding", law=convolutions.output_padding, ops=("conv_transpose2d",),
          directions=(FORWARD,), premise=_other_than("output_padding", (0, 0))),
    Axiom(name="stride", law=convolutions.insertion, ops=("conv_transpose2d",),
          directions=(FORWARD,), premise=_has_stride_alone),
    Axiom(name="translation", law=convolutions.transposed_translation, ops=("conv_transpose2d",),
          directions=(FORWARD,), premise=_outgrows_stride),
    Axiom(name="taps", law=convolutions.spreading, ops=("conv_transpose2d",),
          directions=(FORWARD,)),
    Axiom(name="adjointness", law=convolutions.adjointness, ops=("conv_transpose2d",),
          directions=(FORWARD,)),
    Axiom(name="taps", law=convolutions.features, ops=("linear",), directions=(FORWARD,)),
    *(Axiom(name=f"{name}{word}", law=partial(law, fillings=fillings), ops=("max_pool2d",),
            directions=(direction,), extended=bool(word))
      for fillings, word in ((("exact",), ""), (("special", "minus"), " of specials"))
      for name, law, direction in (("largest", pools.largest, FORWARD),
                                   ("first_place", pools.first_place, FORWARD),
                                   ("scattered", pools.scattered, INPUT))),
    Axiom(name="monotone", law=pools.monotone, ops=("max_pool2d",), directions=(FORWARD,)),
    Axiom(name="sums", law=pools.sums, ops=("avg_pool2d",), directions=(FORWARD,)),
    Axiom(name="constants", law=pools.constants, ops=("avg_pool2d",), directions=(FORWARD,)),
    Axiom(name="as_convolution", law=pools.as_convolution, ops=("avg_pool2d",),
          directions=(FORWARD,)),
    Axiom(name="visits", law=pools.counted, ops=("avg_pool2d",), directions=(FORWARD, INPUT)),
    Axiom(name="sums", law=pools.mean, ops=("global_avg_pool2d",), directions=(FORWARD,)),
    Axiom(name="constants", law=pools.mean_of_constants, ops=("global_avg_pool2d",),
          directions=(FORWARD, INPUT)),
    *(Axiom(name=f"{name}{word}", law=partial(law, fillings=fillings), ops=("relu",),
            directions=(direction,), extended=bool(word))
      for fillings, word in ((("exact", "wide"), ""), (("special",), " of specials"))
      for name, law, direction in (("odd_part", elementwise.odd_part, FORWARD),
                                   ("even_part", elementwise.even_part, FORWARD),
                                   ("gate", elementwise.gate, INPUT))),
    Axiom(name="slices", law=elementwise.slices, ops=("image_to_patches",), directions=(FORWARD,)),
    Axiom(name="inverse", law=elementwise.inverse, ops=("image_to_patches",),
          directions=("grad_image",)),
    Axiom(name="adjoint", law=gradients.adjoint, ops=LINEAR, directions=GRADIENTS),
    Axiom(name="steps", law=partial(gradients.of_input, lanes=1), ops=SUMS, directions=(INPUT,)),
    Axiom(name="steps", law=gradients.of_weight, ops=("conv2d", "linear"), directions=(WEIGHT,)),
    Axiom(name="steps", law=gradients.of_transposed_weight, ops=("conv_transpose2d",),
          directions=(WEIGHT,)),
    Axiom(name="steps", law=gradients.of_bias, ops=SUMS, directions=(BIAS,), premise=_has_bias),
    Axiom(name="steps", law=partial(gradients.of_input, lanes=2), ops=AVERAGES,
          directions=(INPUT,)),
    Axiom(name="steps", law=partial(gradients.of_separated, lanes=2), ops=("max_pool2d",),
          directions=(INPUT,)),
    Axiom(name="steps", law=partial(gradients.of_input, lanes=0), ops=("image_to_patches",),
          directions=("grad_image",)),
)  # fmt: skip


def asked(op: OpSpec, case: Case, direction: str) -> Iterator[Axiom]:
    """The axioms that say something about a direction of a case; none of a large one."""
    plan = op.plan_case(case)
    if op.macs(plan) > MOST_MACS:
        return
    for axiom in AXIOMS:
        is_meant = op.name in axiom.ops and direction in axiom.directions
        if is_meant and case.level in axiom.of and axiom.premise(plan):
            yield axiom


def broken(
    backend: Backend, op: OpSpec, case: Case, direction: str, dtype: str, name: str
) -> tuple[Axiom, Evidence] | None:
    """The axiom of a name, and where the backend breaks it; raises Undecided."""
    (axiom,) = (axiom for axiom in asked(op, case, direction) if axiom.name == name)
    trial = Trial(backend, op, case, direction, dtype)
    for equation in axiom.law(trial):
        if (evidence := trial.compared(equation)).message:
            return axiom, evidence
    return None
