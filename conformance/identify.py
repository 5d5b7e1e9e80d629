"""Whether the cases can tell: a witness for every way to take one parameter for another.

A confusion is a change of a call as its kernels see it. A witness is a case whose answer changes
with it, on exact data and by im2col's kernels: in its values, or else in its shape alone.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy import ndarray

from conformance import inputs
from conformance.checks import up_to
from impls import im2col
from impls.spec.case import LEVELS, Case
from impls.spec.interface import kernel_params
from impls.spec.op import FORWARD, OpSpec
from impls.spec.plan import Params

VALUES, SHAPE = "values", "shape"
BY_AXIS = ("kernel_size", "stride", "padding", "output_padding", "dilation")
Arrays = list[ndarray]
# What a case's call becomes: its kernel parameters and arrays; None where nothing changes.
Confusion = Callable[[OpSpec, Case, Params, Arrays], tuple[Params, Arrays] | None]


@dataclass(frozen=True, slots=True)
class Witness:
    """The case that tells a confusion in one direction.

    level: the lowest that has a case that tells. case: its id. by: VALUES or SHAPE. All are ""
    where no case tells.
    """

    op: str
    direction: str
    confusion: str
    level: str = ""
    case: str = ""
    by: str = ""


def asked(op: OpSpec) -> list[Case]:
    """The cases of an op that the suite asks, named and made."""
    found = {check.case: None for check in up_to(LEVELS[-1]) if check.op is op}
    return [case for case in found if isinstance(case, Case)]


def witnesses(op: OpSpec, cases: Iterable[Case]) -> Iterator[Witness]:
    """One per direction and confusion; of those by shape alone the first."""
    with np.errstate(all="ignore"):  # a confused divisor may be 0
        yield from _witnesses(op, sorted(cases, key=lambda case: LEVELS.index(case.level)))


def _witnesses(op: OpSpec, by_level: list[Case]) -> Iterator[Witness]:
    calls = [_Call(op, case) for case in by_level if not case.vacuous]
    for name, confusion in confusions(op).items():
        readers = [d for d in op.directions if _reads(op, d, name.split(":")[0])]
        found = {direction: Witness(op.name, direction, name) for direction in readers}
        for call in calls:
            missing = [direction for direction in readers if found[direction].by != VALUES]
            for direction, by in call.told(confusion, missing).items():
                old = found[direction]
                level = old.level or call.case.level
                if not old.by or by == VALUES:
                    found[direction] = replace(old, level=level, case=call.case.id, by=by)
            if not missing:
                break
        yield from found.values()


class _Call:
    """The right call of a case, with its answers by direction."""

    def __init__(self, op: OpSpec, case: Case) -> None:
        self.op, self.case = op, case
        self.params = op.plan_case(case).params
        self.arrays = inputs.arrays("exact", case.shapes, "float64", case.id, inputs.NARROW)
        self.arrays[0] = self.arrays[0].reshape(op.batched(case.shapes[0]))
        self.answers = {FORWARD: _forward(op, self.params, self.arrays)}

    def told(self, confusion: Confusion, directions: list[str]) -> dict[str, str]:
        """By direction, how the answer of the confused call differs, where it does."""
        changed = confusion(self.op, self.case, self.params, self.arrays) if directions else None
        if changed is None:
            return {}
        try:
            confused = _forward(self.op, *changed)
            if confused[0].shape != self.answers[FORWARD][0].shape:
                return dict.fromkeys(directions, SHAPE)
            return {
                direction: VALUES
                for direction in directions
                if not _same(
                    confused
                    if direction == FORWARD
                    else [_gradient(self.op, direction, confused, *changed)],
                    self.answer(direction),
                )
            }
        except (ValueError, IndexError, ZeroDivisionError):  # refused, as a wrong shape is
            return dict.fromkeys(directions, SHAPE)

    def answer(self, direction: str) -> list[ndarray]:
        if direction not in self.answers:
            forward = self.answers[FORWARD]
            gradient = _gradient(self.op, direction, forward, self.params, self.arrays)
            self.answers[direction] = [gradient]
        return self.answers[direction]


def _same(actual: list[ndarray], expected: list[ndarray]) -> bool:
    return all(a.shape == b.shape and (a == b).all() for a, b in zip(actual, expected, strict=True))


def confusions(op: OpSpec) -> dict[str, Confusion]:
    """By name, what may be taken for what in an op's calls."""
    names = kernel_params(op)
    found: dict[str, Confusion] = {}
    by_axis = [name for name in BY_AXIS if name in names]
    for name in by_axis:
        found[f"{name}: height for width, width for height"] = _changing(name, lambda x: x[::-1])
        found[f"{name}: height for both"] = _changing(name, lambda x: (x[0], x[0]))
        found[f"{name}: width for both"] = _changing(name, lambda x: (x[1], x[1]))
    if op.kernel.startswith("conv"):
        found["padding: before for after, after for before"] = _changing(
            "padding", lambda x: tuple(pair[::-1] for pair in x)
        )
        found["padding: before for both"] = _changing(
            "padding", lambda x: tuple((pair[0],) * 2 for pair in x)
        )
    for one, other in combinations(by_axis, 2):
        found[f"{one} for {other}, {other} for {one}"] = _exchanging(one, other)
    for name in names:
        if op.signature.parameters[name].default is not op.signature.empty:
            found[f"{name}: its default"] = _leaving_out(name)
    if len(op.operands) > 1:
        found["bias: none"] = _without_bias
        found["weight: its transpose, where it is square"] = _transposing_square
    if "groups" in names:
        found["weight: rows for columns, where it is square"] = _turning_square
        found["input: channels of groups in turn"] = _channels_in_turn
    return found


def _reads(op: OpSpec, direction: str, name: str) -> bool:
    """Whether a direction depends on what is confused: no sum of products on its own operand."""
    if name == "bias":
        return direction == FORWARD
    return direction != "grad_bias" and direction != f"grad_{name}"


def _forward(op: OpSpec, params: Params, arrays: Arrays) -> list[ndarray]:
    given = [*arrays, *[None] * (len(op.operands) - len(arrays))]
    answer = getattr(im2col, op.kernel)(*given, **params)
    return list(answer) if isinstance(answer, tuple) else [answer]


def _gradient(
    op: OpSpec, direction: str, answer: list[ndarray], params: Params, arrays: Arrays
) -> ndarray:
    shape = answer[0].shape
    # No two alike: whatever is moved shows.
    grad_output = np.arange(1.0, 1.0 + answer[0].size).reshape(shape)
    operands = [x for x, operand in zip(arrays, op.operands, strict=False) if not operand.optional]
    kernel = getattr(im2col, op.kernel_of(direction))
    gradient: ndarray = kernel(grad_output, *operands, *answer[1:], **params)
    return gradient


def _changing(name: str, change: Callable[[Any], Any]) -> Confusion:
    def confuse(op: OpSpec, case: Case, params: Params, arrays: Arrays) -> Any:
        value = change(params[name])
        return None if value == params[name] else ({**params, name: value}, arrays)

    return confuse


def _exchanging(one: str, other: str) -> Confusion:
    def confuse(op: OpSpec, case: Case, params: Params, arrays: Arrays) -> Any:
        plain = {name: _plain(params[name]) for name in (one, other)}
        if plain[one] == plain[other]:
            return None
        changed = {one: plain[other], other: plain[one]}
        if "padding" in changed:
            height, width = changed["padding"]
            changed["padding"] = ((height, height), (width, width))
        return {**params, **changed}, arrays

    return confuse


def _plain(value: Any) -> Any:
    """(height, width), of a padding what is before."""
    return tuple(x if isinstance(x, int) else x[0] for x in value)


def _leaving_out(name: str) -> Confusion:
    def confuse(op: OpSpec, case: Case, params: Params, arrays: Arrays) -> Any:
        kept = {key: value for key, value in case.params.items() if key != name}
        try:
            default = op.plan_case(replace(case, params=kept)).params[name]
        except ValueError:  # no call without it, but a kernel may think of it all the same
            default = _as_in(params[name], op.signature.parameters[name].default)
        return None if default == params[name] else ({**params, name: default}, arrays)

    return confuse


def _as_in(value: Any, default: int) -> Any:
    """The default in the form of a value: one int per axis, or per side."""
    return tuple(_as_in(x, default) for x in value) if isinstance(value, tuple) else default


def _without_bias(op: OpSpec, case: Case, params: Params, arrays: Arrays) -> Any:
    return (params, arrays[:2]) if len(arrays) > 2 else None


def _transposing_square(op: OpSpec, case: Case, params: Params, arrays: Arrays) -> Any:
    weight = arrays[1]
    if weight.shape[0] != weight.shape[1] or len(weight) == 1:
        return None
    return params, [arrays[0], weight.swapaxes(0, 1).copy(), *arrays[2:]]


def _turning_square(op: OpSpec, case: Case, params: Params, arrays: Arrays) -> Any:
    weight = arrays[1]
    if weight.shape[2] != weight.shape[3] or weight.shape[2] == 1:
        return None
    return params, [arrays[0], weight.swapaxes(2, 3).copy(), *arrays[2:]]


def _channels_in_turn(op: OpSpec, case: Case, params: Params, arrays: Arrays) -> Any:
    """The first channel of each group, then the second: for those of one group after another."""
    image, groups = arrays[0], params["groups"]
    channels = image.shape[1] // groups
    if groups == 1 or channels == 1:
        return None
    n, _, *plane = image.shape
    turned = image.reshape(n, groups, channels, *plane).swapaxes(1, 2).reshape(image.shape)
    return params, [turned.copy(), *arrays[1:]]
