"""Cases by construction: every pair of values of two factors in some call, and a certificate of it.

What an operation's calls vary in is in its record (impls/spec/factors.py); its plan says which
choices are calls. A greedy row takes the first pair that is missing and adds, factor by factor, the
value that covers most of the missing pairs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, combinations, product
from typing import Any

from impls.spec.case import CORE, EXTENDED, Case
from impls.spec.factors import UNBATCHED, Factor
from impls.spec.op import OpSpec

# A choice of levels by number; two of its entries are a pair.
Choice = Mapping[str, int]
Pair = frozenset[tuple[str, int]]
DTYPE = Factor(("float32", "float64"))
# Around the widths of vectors, and of tiles of two and three.
TAILS = (15, 16, 17, 31, 32, 33, 47, 48, 49)


@dataclass(frozen=True, slots=True)
class Made:
    """A case with the dtype that it is judged in."""

    case: Case
    dtype: str


@dataclass(frozen=True, slots=True)
class Covering:
    """The rows of an operation's covering array, and what they cover.

    impossible: by pair, the rule that forbids it.
    """

    rows: tuple[Choice, ...] = ()
    pairs: tuple[Pair, ...] = ()
    impossible: Mapping[Pair, str] = field(default_factory=dict)


@cache
def factors(op: OpSpec) -> dict[str, Factor]:
    """What is combined: the operation's factors and the dtype."""
    return {**op.factors, "dtype": DTYPE} if op.factors else {}


def made(op: OpSpec, values: Mapping[str, Any], why: str, **about: Any) -> Made:
    """The case of one value per factor; ValueError if that is no call.

    Layouts are not combined: the gate hands all kernels the same one.
    """
    chosen = dict(values)
    dtype = chosen.pop("dtype")
    assert op.call is not None
    shapes, params = op.call(**chosen)
    given = {name: value for name, value in params.items() if value != _defaults(op)[name]}
    level = EXTENDED if chosen.get("n") == UNBATCHED or shapes[0][:-1] == () else CORE
    case = Case(why=why, shapes=shapes, params=given, **{"level": level, **about})
    op.plan_case(case)
    return Made(case, dtype)


@cache
def _defaults(op: OpSpec) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in op.signature.parameters.items()}


@cache
def covering(op: OpSpec) -> Covering:
    """Rows that hold every pair of levels that some call can have."""
    promised = tuple(_pairs({name: range(len(f.levels)) for name, f in factors(op).items()}))
    impossible = {pair: rule for pair in promised if (rule := _refusal(op, dict(pair), {}))}
    missing = dict.fromkeys(pair for pair in promised if pair not in impossible)
    rows = []
    while missing:
        row: dict[str, int] = dict(next(iter(missing)))
        for name, factor in factors(op).items():
            if name not in row:
                levels = [(name, number) for number in range(len(factor.levels))]
                gains = {
                    level: sum(frozenset((level, other)) in missing for other in row.items())
                    for level in levels
                    if not _refusal(op, {**row, level[0]: level[1]}, impossible)
                }
                row[name] = max(gains, key=lambda level: gains[level])[1]
        rows.append({name: row[name] for name in factors(op)})
        for pair in combinations(row.items(), 2):
            missing.pop(frozenset(pair), None)
    return Covering(tuple(rows), promised, impossible)


def cases(op: OpSpec) -> Iterator[Made]:
    """The calls of an operation that are made: all pairs, then tails of vectors."""
    for number, row in enumerate(covering(op).rows, start=1):
        values = _values(op, row)
        said = ", ".join(f"{name} {value}" for name, value in values.items())
        yield made(op, values, f"pairs, row {number}: {said}")
    yield from _tails(op)


def _tails(op: OpSpec) -> Iterator[Made]:
    """Extents around vectors, each in the place of each; else plain, of one image and one row."""
    names = [name for name, factor in factors(op).items() if factor.is_tail]
    for start in range(len(TAILS) if names else 0):
        sizes = {name: TAILS[(start + 3 * place) % len(TAILS)] for place, name in enumerate(names)}
        plain = {name: factor.levels[0] for name, factor in factors(op).items()}
        plain |= {name: 1 for name in ("n", "rows") if name in op.factors and op.batch_axes}
        said = ", ".join(f"{size} {name}" for name, size in sizes.items())
        yield made(op, {**plain, **sizes}, f"tails: {said}", level=EXTENDED)


def _values(op: OpSpec, choice: Choice) -> dict[str, Any]:
    return {name: factors(op)[name].levels[number] for name, number in choice.items()}


def _refusal(op: OpSpec, choice: Choice, known: Mapping[Pair, str]) -> str:
    """Why no call has these levels, as the plan says it of plain ones in all others, or "".

    A choice that needs one or two other levels than plain ones is a call too. known: pairs that
    are refused already.
    """
    pairs = map(frozenset, combinations(choice.items(), 2))
    if rule := next((known[pair] for pair in pairs if pair in known), ""):
        return rule
    plain = {**dict.fromkeys(factors(op), 0), **choice}
    others = [
        (name, number)
        for name, factor in factors(op).items()
        if name not in choice
        for number in range(1, len(factor.levels))
    ]
    tried = chain([()], combinations(others, 1), combinations(others, 2))
    if any(not why_refused(op, {**plain, **dict(changes)}) for changes in tried):
        return ""
    return why_refused(op, plain)


def why_refused(op: OpSpec, choice: Choice) -> str:
    """Why a full choice is no call, or ""."""
    return _why_refused(op, tuple(choice[name] for name in factors(op)))


@cache
def _why_refused(op: OpSpec, numbers: tuple[int, ...]) -> str:
    try:
        made(op, _values(op, dict(zip(factors(op), numbers, strict=True))), "")
    except ValueError as error:
        return str(error)
    return ""


def _pairs(levels: Mapping[str, range]) -> Iterator[Pair]:
    for one, other in combinations(levels, 2):
        for first, second in product(levels[one], levels[other]):
            yield frozenset({(one, first), (other, second)})
