"""The kill matrix: which kind of check catches which faulty backend, how soon and with what words;
and whether any refuses a right one.

A backend is asked the checks that reach what it changes, level by level, in the suite's order,
until one catches it. Then the kind that should catch it is asked on to its first kill, and so are
the axioms, last, if nothing else has seen it without PyTorch; every other kind is asked SAMPLE
checks, spread over its list: what it does not catch here, it may elsewhere.
"""

import json
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import Any

from conformance.checks import CONTRACT, TOGETHER, Check, up_to
from conformance.judge import judge
from conformance.meta import FORMAT
from conformance.meta.faults import FAULTS, GATE, Fault, methods, op_of
from conformance.meta.rights import RIGHTS, Right
from conformance.networks import Network, judge_network, networks_up_to
from conformance.verdict import BAD, Status, Verdict
from impls.backend import Backend
from impls.spec.case import CORE, LEVELS, ErrorCase
from impls.spec.interface import KERNELS
from impls.spec.op import FORWARD, OpSpec

SAMPLE = 16
# A search that looks for the smallest wrong call takes seconds: it is asked of what is not caught.
RANDOM = "random"
# What `--oracle none` asks besides: it comes last, and to its first kill.
AXIOMS = "axioms"
# What is likely to see a fault without PyTorch, and is asked first.
LIKELY = (
    "largest", "scattered", "taps", "sums", "bias", "visits", "adjoint", "additive", "dye",
    "same_bits_for_16_callers", "notation",
)  # fmt: skip
PLANTED: tuple[Fault | Right, ...] = (*FAULTS, *RIGHTS)
BY_NAME = {planted.name: planted for planted in PLANTED}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """A check or network that a backend is asked.

    kind: its kind, the aspect of purity included: "purity no_aliasing". aspect: of any kind.
    place: its number among all that is asked of the op, in the suite's order, from 1. kernels: what
    of the backend it calls, kernels and methods of the gate. ask: gives the verdict.
    """

    kind: str
    aspect: str
    level: str
    text: str
    place: int
    kernels: tuple[str, ...]
    ask: Callable[[Backend], Verdict]


def asked(fault: Fault) -> tuple[Question, ...]:
    """The questions that reach the sin of a fault, in the suite's order."""
    return reaching(fault.op, fault.kernel.removesuffix("_values"))


@cache
def reaching(op: OpSpec, kernel: str) -> tuple[Question, ...]:
    """The questions about an op that call one of its kernels, or a method of its gate."""
    return tuple(question for question in _questions(op) if kernel in question.kernels)


@cache
def _questions(op: OpSpec) -> tuple[Question, ...]:
    """All that is asked of an op, level by level, and then without PyTorch."""
    unplaced = [*map(_of_check, (check for check in up_to(LEVELS[-1]) if check.op is op))]
    unplaced += [
        _of_network(network, filling, op)
        for network, filling in networks_up_to(LEVELS[-1])
        if op.kernel in network.kernels
    ]
    unplaced.sort(key=lambda question: LEVELS.index(question["level"]))
    laws = [c for c in up_to(LEVELS[-1], "none") if c.op is op and c.kind == AXIOMS]
    unplaced += map(_of_check, sorted(laws, key=lambda law: likelihood(law.aspect)))
    return tuple(Question(place=place, **given) for place, given in enumerate(unplaced, 1))


def likelihood(aspect: str) -> int:
    return LIKELY.index(aspect) if aspect in LIKELY else len(LIKELY)


def kind_of(check: Check) -> str:
    """The kind of a check, the aspect of purity included, as a fault expects it."""
    return f"{check.kind} {check.aspect}" if check.kind == "purity" else check.kind


def _of_check(check: Check) -> Row:
    method = check.op.name if check.direction == FORWARD else f"{check.op.name}_backward"
    kernels = [check.kernel, GATE + method]
    if check.op.returns_indices:
        kernels.append(check.op.kernel)  # a gradient finds the indices again
    if check.aspect == TOGETHER:
        kernels += map(check.op.kernel_of, check.op.directions[1:])
    if isinstance(check.case, ErrorCase):
        kernels = [GATE + check.case.method]  # wrong calls are refused before any kernel runs
    if check.kind == "interface":
        kernels = [check.kernel]
    if check.kind == RANDOM:
        kernels = [*map(check.op.kernel_of, check.op.directions), *methods(check.op.name)]
    return {
        "kind": kind_of(check),
        "aspect": check.aspect,
        "level": check.level,
        "text": check.id,
        "kernels": tuple(kernels),
        "ask": lambda backend: judge(backend, check),
    }


def _of_network(network: Network, filling: str, op: OpSpec) -> Row:
    biases = [name.replace("_weight", "_bias") for name in network.kernels]
    return {
        "kind": "networks",
        "aspect": filling,
        "level": CORE,
        "text": f"{network.name} {filling}",
        "kernels": (*network.kernels, *biases, *methods(op.name)),
        "ask": lambda backend: judge_network(backend, network, filling),
    }


def first_kill(backend: Backend, questions: Sequence[Question]) -> tuple[Question, Verdict] | None:
    """The first question that catches a backend, with its verdict."""
    for question in questions:
        verdict = question.ask(backend)
        if verdict.status in BAD:
            return question, verdict
    return None


def parts(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(backend, kernel): what is judged apart; a kernel's come together, and share PyTorch's
    answers.
    """
    for kernel in dict.fromkeys((*KERNELS, *(fault.kernel for fault in FAULTS))):
        for name in names:
            backend = BY_NAME[name]
            kernels = [backend.kernel] if isinstance(backend, Fault) else backend.kernels
            if kernel in kernels:
                yield name, kernel


def rows(name: str, kernel: str) -> list[Row]:
    """What each kind of check says of a backend; reports/README.md explains the columns."""
    planted = BY_NAME[name]
    if isinstance(planted, Fault):
        told = {"role": "fault", "like": planted.like, "expected": planted.expected}
        questions: Sequence[Question] = asked(planted)
    else:
        told = {"role": "right", "like": "", "expected": ""}
        questions = reaching(op_of(kernel), kernel)
        sample = _sample(questions)
        questions = [
            question
            for question in questions
            if question.kind != AXIOMS or question.place in sample
            if not (planted.spreads_nan and "dye" in (question.kind, question.aspect))
        ]
    backend = planted.backend()
    return [
        {"backend": name, "kernel": kernel, **told, **cell}
        for cell in _cells(backend, questions, told["expected"])
    ]


def _cells(backend: Backend, questions: Sequence[Question], expected: str) -> list[Row]:
    """One row per kind of check that is asked."""
    start = perf_counter()
    found: dict[str, Row] = {}
    sample = _sample(questions)
    # is_seen: without PyTorch, too.
    is_caught = is_seen = False
    for question in questions:
        cell = found.setdefault(question.kind, {**UNCAUGHT, "kind": question.kind})
        is_sought = question.kind == expected or (question.kind == AXIOMS and not is_seen)
        is_of_interest = is_sought or question.place in sample
        if cell["status"] in BAD or (is_caught and not is_of_interest):
            continue
        verdict = question.ask(backend)
        cell["asked"] += 1
        if verdict.status in BAD:
            is_caught = True
            is_seen |= question.kind.split()[0] in CONTRACT
            cell["status"] = str(verdict.status)
            cell["place"] = question.place
            cell["seconds"] = round(perf_counter() - start, 4)
            cell["level"] = question.level
            cell["check"] = question.text
            cell["message"] = _first_line(backend, verdict)
    return [cell for cell in found.values() if cell["asked"]]


def _sample(questions: Sequence[Question]) -> set[int]:
    """Places of SAMPLE questions of each kind, spread over its list."""
    by_kind: dict[str, list[int]] = {}
    for question in questions:
        if question.kind != RANDOM:
            by_kind.setdefault(question.kind, []).append(question.place)
    return {place for places in by_kind.values() for place in places[:: ceil(len(places) / SAMPLE)]}


def _first_line(backend: Backend, verdict: Verdict) -> str:
    """What is wrong, without the backend's name and the trace of a crash."""
    return verdict.message.partition("\n")[0].removeprefix(f"{backend.name}: ")


UNCAUGHT: Row = {
    "kind": "",
    "asked": 0,
    "status": str(Status.PASSED),
    "place": None,
    "seconds": None,
    "level": "",
    "check": "",
    "message": "",
}


def sentence(rows: Sequence[Row]) -> str:
    """The figures in words."""
    faults = {row["backend"] for row in rows if row["role"] == "fault"}
    caught = {
        row["backend"]
        for row in rows
        if row["role"] == "fault" and row["status"] in BAD and row["kind"] != AXIOMS
    }
    rights = {row["backend"] for row in rows if row["role"] == "right"}
    refused = {row["backend"] for row in rows if row["role"] == "right" and row["status"] in BAD}
    return (
        f"{len(caught)} of {len(faults)} faulty backends are caught,"
        f" {len(refused)} of {len(rights)} right ones refused."
    )


def wrongs(rows: Sequence[Row]) -> Iterator[str]:
    """Whoever is judged otherwise than it should be, in words."""
    killers: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        by = killers.setdefault((row["backend"], row["expected"]), [])
        if row["status"] in BAD:
            by.append(row["kind"])
            if row["role"] == "right":
                yield f"{row['backend']} is refused: {row['message']} ({row['check']})"
    for (name, expected), by in killers.items():
        if expected and expected not in by:
            found = f"only by {', '.join(by)}" if by else "by nothing"
            yield f"{name} should be caught by {expected}, but is caught {found}"


def write(rows: Sequence[Row], path: Path) -> None:
    """A line that names versions and counts the rows, then one row a line."""
    packages = ("numpy", "scipy", "torch")
    header = {
        "format": FORMAT,
        "rows": len(rows),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(line) + "\n" for line in (header, *rows))
    path.write_text("".join(lines), encoding="utf-8")
