"""Random calls, drawn by Hypothesis and the same in every run; of the wrong ones, the smallest.

They are drawn from the factors of an op's record, in sizes that no table has; what the plan refuses
is not called, so that PyTorch sees no call on which it corrupts memory.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, reject, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from conformance.covering import Made, factors, made
from conformance.inputs import LAYOUTS
from conformance.verdict import BAD, Verdict
from impls.spec.case import Case
from impls.spec.case import seed as seed_of
from impls.spec.factors import Factor
from impls.spec.op import OpSpec

EXAMPLES = 40
SETTINGS = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


def calls(op: OpSpec) -> st.SearchStrategy[Made]:
    """Calls of all shapes, parameters, layouts and dtypes."""
    drawn = {name: _values(factor) for name, factor in factors(op).items()}

    def call(values: dict[str, Any]) -> Made:
        layout = values.pop("layout")
        try:
            return made(op, values, "drawn", layout=layout, vacuous="drawn: it may be small")
        except ValueError:
            reject()

    return st.fixed_dictionaries({**drawn, "layout": st.sampled_from(LAYOUTS)}).map(call)


def _values(factor: Factor) -> st.SearchStrategy[Any]:
    return st.sampled_from(factor.levels) if factor.drawn is None else _in(factor.drawn)


def _in(drawn: Any) -> st.SearchStrategy[Any]:
    """A range as one of its ints, a tuple as a tuple of such."""
    if isinstance(drawn, range):
        return st.integers(drawn.start, drawn.stop - 1)
    return st.tuples(*map(_in, drawn))


def smallest_failure(op: OpSpec, judged: Callable[[Made], Verdict]) -> tuple[Made, Verdict] | None:
    """The smallest wrong call of those drawn, with its verdict; None where all are right."""
    failures: list[tuple[Made, Verdict]] = []

    @seed(seed_of(op.name))
    @SETTINGS
    @given(calls(op))
    def agrees(drawn: Made) -> None:
        verdict = judged(drawn)
        if verdict.status in BAD:
            failures[:] = [(drawn, verdict)]
            raise AssertionError

    try:
        agrees()
    except (AssertionError, Flaky):  # Flaky: what remembers calls may answer a second one rightly
        return failures[0]
    return None


def as_line(case: Case) -> str:
    """The case as a line of its op's table."""
    parts = [*map(repr, case.shapes), *(f"{name}={x!r}" for name, x in case.params.items())]
    if case.layout != "contiguous":
        parts.append(f"layout={case.layout!r}")
    return f'case("what it shows", {", ".join(parts)}),'
