"""Cases by construction: checks hold every pair that can be, and random calls find what hides."""

import ast
from collections.abc import Callable
from functools import cache
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

from conformance.checks import Check, up_to
from conformance.covering import TAILS, Made, cases, covering, factors, made, why_refused
from conformance.judge import judge
from conformance.meta.faults import made as backend_with
from conformance.meta.faults import right_kernel
from conformance.random_calls import as_line, smallest_failure
from conformance.verdict import BAD, PASSED, Status, Verdict
from impls.spec.case import case
from impls.spec.op import OpSpec
from impls.spec.ops import OPS

EACH_OP = pytest.mark.parametrize("op", OPS.values(), ids=OPS)


@cache
def asked(op: OpSpec) -> tuple[Check, ...]:
    return tuple(check for check in up_to("extended") if check.op is op)


@EACH_OP
def test_every_pair_that_can_be_is_in_a_case_that_is_asked(op: OpSpec) -> None:
    """Counted anew from the levels and the list of checks, not by what made the rows."""
    in_checks = {(check.case, check.dtype, check.direction) for check in asked(op)}
    found = set()
    rows = covering(op).rows
    for row, one in zip(rows, cases(op), strict=False):
        values = {name: factor.levels[row[name]] for name, factor in factors(op).items()}
        assert made(op, values, one.case.why) == one
        for direction in op.directions[: 1 + len(one.case.shapes)]:
            assert (one.case, one.dtype, direction) in in_checks
        found |= {((a, row[a]), (b, row[b])) for a, b in combinations(factors(op), 2)}
    promised = {
        ((a, m), (b, n))
        for a, b in combinations(factors(op), 2)
        for m, n in product(*(range(len(factors(op)[name].levels)) for name in (a, b)))
    }
    impossible = {pair for pair in promised if frozenset(pair) in covering(op).impossible}
    assert found == promised - impossible
    assert len(impossible) == len(covering(op).impossible)
    assert len(rows) <= 40


@EACH_OP
def test_no_call_at_all_has_a_pair_that_is_said_to_be_impossible(op: OpSpec) -> None:
    """Every level of every other factor that could lift the rule is tried."""
    for pair, rule in covering(op).impossible.items():
        assert rule
        held = dict(pair)
        # Sizes, images and dtypes lift no rule of parameters: plain.
        free = {
            name: range(len(factor.levels)) if name in op.signature.parameters else range(1)
            for name, factor in factors(op).items()
            if name not in held
        }
        for numbers in product(*free.values()):
            assert why_refused(op, {**dict(zip(free, numbers, strict=True)), **held}), rule


def test_what_is_impossible_is_what_the_rules_say() -> None:
    rules = {op.name: set(covering(op).impossible.values()) for op in OPS.values()}
    assert {name for name, said in rules.items() if said} == {
        "conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d"
    }  # fmt: skip
    assert "padding='same' must have stride 1, but stride=(2, 2)" in rules["conv2d"]


@EACH_OP
def test_tails_put_every_width_in_every_place(op: OpSpec) -> None:
    tails = [one.case for one in cases(op) if one.case.why.startswith("tails")]
    for name in (name for name, factor in factors(op).items() if factor.is_tail):
        said = {word for one in tails for word in one.why.removeprefix("tails: ").split(", ")}
        assert {f"{size} {name}" for size in TAILS} <= said
    assert tails


def test_ids_of_checks_are_unique() -> None:
    ids = [(check.kind, check.id) for check in up_to("extended")]
    assert len(set(ids)) == len(ids)


def failing(
    kernel: str, is_hit: Callable[..., bool], spoil: Callable[[ndarray], None]
) -> Callable[..., Any]:
    """A right kernel whose answers are spoiled in some calls."""

    def faulty(*arrays: Any, **params: Any) -> Any:
        answer = right_kernel(kernel)(*arrays, **params)
        if is_hit(*arrays, **params):
            spoil(answer[0] if isinstance(answer, tuple) else answer)
        return answer

    return faulty


def zero_first(answer: ndarray) -> None:
    answer[...] = np.where(answer == 0, 1, 0)


# Each shows at a size, or a meeting of parameters, that no named case and no pair has.
HIDDEN: dict[str, tuple[str, Callable[..., bool]]] = {
    "conv": ("conv2d", lambda x, w, b, stride, **_: x.shape[3] == 7 and stride == (3, 2)),
    "conv_grad_weight": ("conv2d", lambda dy, x, w, **_: w.shape[2:] == (3, 1)),
    "conv_transpose": ("conv_transpose2d", lambda *_, output_padding, **__: output_padding[0] == 0
                       and output_padding[1] == 1),
    "max_pool": ("max_pool2d", lambda x, kernel_size, **_: kernel_size == (3, 1)),
    "avg_pool": ("avg_pool2d", lambda x, kernel_size, **_: kernel_size == (1, 3)),
}  # fmt: skip


@pytest.mark.parametrize("kernel", HIDDEN)
def test_a_hidden_fault_is_found_and_shrunk(kernel: str) -> None:
    name, is_hit = HIDDEN[kernel]
    backend = backend_with({kernel: failing(kernel, is_hit, zero_first)})
    verdicts = {
        check: judge(backend, check)
        for check in asked(OPS[name])
        if check.kind == "random"
        or (check.kernel == kernel and check.kind in ("values", "gradients"))
    }
    (found,) = [check for check, verdict in verdicts.items() if verdict.status in BAD]
    assert found.kind == "random"
    message, line = verdicts[found].message.rsplit("\n", 1)
    assert f"add to impls/spec/ops/{name}.py:" in message
    assert verdicts[found].status is Status.FAILED
    # What is told is a case, fails by itself, and is small.
    kept = eval(line.strip().rstrip(","), {"case": case})
    alone = Check(
        kind="random", level="extended", op=OPS[name], dtype="float32", case=kept,
        direction=next(d for d in OPS[name].directions if OPS[name].kernel_of(d) == kernel),
    )  # fmt: skip
    assert judge(backend, alone).status is Status.FAILED
    assert judge(backend_with({}), alone).status in (Status.PASSED, Status.UNTRUSTED)
    assert max(kept.shapes[0]) <= 8
    assert sum(map(len, kept.params)) < 60


def test_random_calls_are_the_same_in_every_run_and_all_are_legal() -> None:
    def drawn(op: OpSpec) -> list[Made]:
        seen: list[Made] = []

        def judged(made: Made) -> Verdict:
            seen.append(made)
            return PASSED

        assert smallest_failure(op, judged) is None
        return seen

    for op in OPS.values():
        calls = drawn(op)
        assert calls == drawn(op)
        assert len({call.case.id for call in calls}) > 20
        assert all(op.plan_case(call.case) for call in calls)


def test_what_fails_once_alone_is_told_too() -> None:
    """A fault of memory may be gone when it is looked for again."""
    answers = iter([Verdict(Status.FAILED, "once")])
    found = smallest_failure(OPS["relu"], lambda made: next(answers, PASSED))
    assert found is not None
    assert found[1].message == "once"


def test_a_case_is_told_as_a_line_of_a_table() -> None:
    told = as_line(case("", (2, 3), (4, 3), stride=(1, 2), layout="reversed"))
    assert told == "case(\"what it shows\", (2, 3), (4, 3), stride=(1, 2), layout='reversed'),"
    assert ast.parse(told.rstrip(","))
