"""Case: one call with the reason it is there. ErrorCase: one call that must be refused.

Ids are made from content, so equal ids mean equal calls, and seeds are made from ids.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from impls.spec.plan import Params, Shape

DOCUMENT, CORE, EXTENDED = LEVELS = ("document", "core", "extended")

# How an id writes the parameters; others by their names.
TAGS = {
    "stride": "s",
    "padding": "p",
    "dilation": "d",
    "groups": "g",
    "output_padding": "op",
    "kernel_size": "k",
    "ceil_mode": "ceil",
    "count_include_pad": "cip",
    "divisor_override": "div",
    "patch_size": "ps",
}


@dataclass(frozen=True, kw_only=True)  # without slots: its id is cached
class Case:
    """A call: shapes in the order of the op's operands, parameters as a user writes them.

    why: what this case alone shows.
    level: the level it belongs to; "document" cases run there in float64, in "core" in float32.
    layout: how the inputs lie in memory (conformance/inputs.py), "contiguous" if nothing is said.
    vacuous: why the expected result may be constant or almost all zero here; "" = it must not be.
    same_as_default: parameters that by intent change nothing here.
    """

    why: str
    shapes: tuple[Shape, ...]
    params: Params = field(default_factory=dict, hash=False)
    level: str = CORE
    layout: str = "contiguous"
    vacuous: str = ""
    same_as_default: tuple[str, ...] = ()

    @cached_property
    def id(self) -> str:
        """Shapes and parameters in one word: "i1x2x8x7-w2x2x3x3-s3"."""
        words = [f"{letter}{_word(s)}" for letter, s in zip("iwb", self.shapes, strict=False)]
        words += [f"{TAGS.get(name, name)}{_word(value)}" for name, value in self.params.items()]
        if self.layout != "contiguous":
            words.append(self.layout)
        return "-".join(words)


def case(
    why: str,
    *shapes: Shape,
    level: str = CORE,
    layout: str = "contiguous",
    vacuous: str = "",
    same_as_default: tuple[str, ...] = (),
    **params: Any,
) -> Case:
    """A Case as one line of a table: reason, shapes, parameters."""
    return Case(
        why=why,
        shapes=shapes,
        params=params,
        level=level,
        layout=layout,
        vacuous=vacuous,
        same_as_default=same_as_default,
    )


def document(why: str, *shapes: Shape, **params: Any) -> Case:
    """A case that the document's own listings can express."""
    return case(why, *shapes, level=DOCUMENT, **params)


def extended(why: str, *shapes: Shape, **params: Any) -> Case:
    """A case of the extended level."""
    return case(why, *shapes, level=EXTENDED, **params)


def seed(text: str) -> int:
    """A seed that is the same in every process (`hash` of a str is not)."""
    return zlib.crc32(text.encode())


@dataclass(frozen=True, slots=True)
class Array:
    """Stands for an array argument of an ErrorCase: `fill` everywhere."""

    shape: Shape
    dtype: Any = np.float64
    fill: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCase:
    """A call that must be refused, before any kernel runs.

    method: the method of the gate to call. arguments: by name; an Array stands for an array.
    raises: the exception. says: what its message must hold: the argument with its value.
    """

    why: str
    method: str
    arguments: Params = field(hash=False)
    raises: type[Exception]
    says: str

    @property
    def id(self) -> str:
        return f"{self.method}-{self.why.replace(' ', '_')}"


def refusing(method: str, **call: Any) -> Callable[..., ErrorCase]:
    """A function that makes an ErrorCase in one line of a table, as a change of a right call."""

    def refuse(
        why: str, says: str, *, raises: type[Exception] = ValueError, **changes: Any
    ) -> ErrorCase:
        arguments = {**call, **changes}
        return ErrorCase(why=why, method=method, arguments=arguments, raises=raises, says=says)

    return refuse


def _word(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        separator = "_" if value and isinstance(value[0], Sequence) else "x"
        return separator.join(_word(item) for item in value) or "empty"
    return str(value).lower()
