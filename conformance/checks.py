"""What is promised: every check of every level, derived from the op records."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

from conformance import axioms, covering
from impls.spec.case import CORE, DOCUMENT, EXTENDED, LEVELS, Case, ErrorCase
from impls.spec.op import FORWARD, OpSpec
from impls.spec.ops import OPS

# The case of each op that is large enough for several threads; `purity` works on it.
LARGE = "large enough for several threads"
# Who says what is right: PyTorch, or nobody, where NumPy judges by the contract and by axioms.
ORACLES = ("torch", "none")
# Kinds that the contract alone decides.
CONTRACT = ("interface", "errors", "purity")
# Asked on every case: an input is handed through where nothing is left to compute.
MEMORY_PROPERTIES = ("inputs_unchanged", "no_aliasing")
# Asked of gradients that are computed in one call.
TOGETHER = "same_bits_together"
PROPERTIES = (
    "same_bits_twice",
    "same_bits_in_any_batch",
    "same_bits_for_any_threads",
    "same_bits_for_16_callers",
)


@dataclass(frozen=True, kw_only=True)  # without slots: its id is cached
class Check:
    """One question to one backend.

    direction: "forward" or "grad_" and an operand; "" for an error case and for random calls, which
        are the op's.
    aspect: what `purity` asks for, or the name of an axiom. case: None for the interface and for
        random calls.
    """

    kind: str
    level: str
    op: OpSpec
    direction: str = ""
    dtype: str = ""
    case: Case | ErrorCase | None = None
    aspect: str = ""

    @cached_property
    def id(self) -> str:
        """One word that names the check in a test id."""
        words = [self.op.name, self.direction, self.aspect, self.case.id if self.case else ""]
        return "-".join(word for word in (*words, self.dtype) if word)

    @property
    def kernel(self) -> str:
        """Backend function that answers it."""
        return self.op.kernel_of(self.direction or FORWARD)


@cache
def up_to(level: str, oracle: str = "torch") -> tuple[Check, ...]:
    """The checks of a level and of those below it; oracle: one of ORACLES."""
    wanted = LEVELS[: LEVELS.index(level) + 1]
    derived = _of if oracle == "torch" else _without_oracle
    return tuple(check for op in OPS.values() for check in derived(op) if check.level in wanted)


def _without_oracle(op: OpSpec) -> Iterator[Check]:
    """What NumPy judges alone: the contract, and axioms.

    Axioms are asked here only: beside PyTorch's values they would see no fault of the zoo that is
    not seen already, and nearly double the count of checks.
    """
    yield from (check for check in _of(op) if check.kind in CONTRACT)
    for case in op.cases:
        for direction in op.directions[: 1 + len(case.shapes)]:
            for axiom in axioms.asked(op, case, direction):
                # The document's cases show each kernel's float64; in time, the others cost twice.
                for dtype in ("float64", "float32") if case.level == DOCUMENT else ("float32",):
                    yield Check(
                        kind="axioms", level=EXTENDED if axiom.extended else _level(case, dtype),
                        op=op, direction=direction, dtype=dtype, case=case, aspect=axiom.name,
                    )  # fmt: skip


def _of(op: OpSpec) -> Iterator[Check]:
    for direction in op.directions:
        yield Check(kind="interface", level=DOCUMENT, op=op, direction=direction)
    for case in op.cases:
        for dtype in ("float64", "float32"):
            for direction in op.directions[: 1 + len(case.shapes)]:
                for kind, level, aspect in _asked(op, case, dtype, direction):
                    yield Check(
                        kind=kind, level=level, op=op, direction=direction, dtype=dtype,
                        case=case, aspect=aspect,
                    )  # fmt: skip
    for made in covering.cases(op):
        # They differ by their calls alone: shapes, memory and repetition are asked of named cases.
        for direction in op.directions[: 1 + len(made.case.shapes)]:
            yield Check(
                kind=_sums(direction), level=made.case.level, op=op, direction=direction,
                dtype=made.dtype, case=made.case,
            )  # fmt: skip
    if op.factors:
        yield Check(kind="random", level=EXTENDED, op=op)
    for error in op.errors:
        yield Check(kind="errors", level=CORE, op=op, case=error)


def _sums(direction: str) -> str:
    return "values" if direction == FORWARD else "gradients"


def _asked(op: OpSpec, case: Case, dtype: str, direction: str) -> Iterator[tuple[str, str, str]]:
    """(kind, level, aspect) of what is asked of one case, dtype and direction."""
    level = _level(case, dtype)
    yield "shapes", level, ""
    yield _sums(direction), level, ""
    if op.signed_zero and case.level != EXTENDED:
        yield "specials", EXTENDED, ""
    if op.linear and dtype == "float32":
        if case.level == DOCUMENT:
            yield "specials", EXTENDED, ""
        if direction != "grad_bias" and case.level != EXTENDED:
            yield "dye", EXTENDED, ""
    if dtype == "float32" or case.why == LARGE:
        for aspect in MEMORY_PROPERTIES:
            yield "purity", EXTENDED, aspect
    is_first_of_many = direction == "grad_input" and len(op.operands) > 1
    if dtype == "float32" and case.level == EXTENDED and is_first_of_many:
        yield "purity", EXTENDED, TOGETHER
    if dtype == "float32" and case.why == LARGE:
        for aspect in PROPERTIES:
            yield "purity", EXTENDED, aspect


def _level(case: Case, dtype: str) -> str:
    # The document's listings return float64.
    return CORE if case.level == DOCUMENT and dtype == "float32" else case.level
