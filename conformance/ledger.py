"""What is promised, as one row per test, and the rows' counts per backend, op and level."""

from collections import Counter
from typing import Any

from conformance.checks import Check, up_to
from conformance.networks import Network, networks_up_to
from conformance.verdict import Status, Verdict
from impls.backend import Backend
from impls.spec.case import CORE, LEVELS

Row = dict[str, Any]

UNJUDGED = Verdict(Status.UNJUDGED, "the run gave no verdict")

# What is asked, by column; a backend that cannot be loaded is asked no more than that.
LOADS: Row = {
    "op": "",
    "direction": "",
    "level": LEVELS[0],
    "kind": "loads",
    "aspect": "",
    "dtype": "",
    "case": "",
    "why": "",
    "accuracy": "",
}


def asked(check: Check, backend: Backend) -> Row:
    """What a check asks of a backend, as columns."""
    asked = ("direction", "level", "kind", "aspect", "dtype")
    found = {name: getattr(check, name) for name in asked}
    case = {"case": check.case.id, "why": check.case.why} if check.case else {}
    return {**LOADS, **found, "op": check.op.name, **case, "accuracy": backend.accuracy}


def asked_of_network(network: Network, filling: str, backend: Backend) -> Row:
    """What a network asks of a backend, as columns."""
    return {
        **LOADS,
        "op": network.name,
        "level": CORE,
        "kind": "networks",
        "aspect": filling,
        "dtype": "float64",
        "why": "the document's own, with all gradients",
        "accuracy": backend.accuracy,
    }


def promised(label: str, backend: Backend, level: str, oracle: str) -> dict[str, Row]:
    """What is asked of a backend up to a level, by test: "test_values[numba-conv2d-...]"."""
    label = label.encode("unicode_escape").decode()  # as pytest writes ids
    checks = {
        f"test_{check.kind}[{label}-{check.id}]": asked(check, backend)
        for check in up_to(level, oracle)
    }
    networks = {
        f"test_networks[{label}-{network.name}-{filling}]": asked_of_network(
            network, filling, backend
        )
        for network, filling in networks_up_to(level, oracle)
    }
    return checks | networks


def row(backend: str, asked: Row, verdict: Verdict, repeat: str, known: str = "") -> Row:
    """One check as the columns of conformance.jsonl; reports/README.md explains each."""
    answered = {"status": str(verdict.status), "grade": verdict.grade, "message": verdict.message}
    told = {"known": known, "repeat": repeat, "explanation": verdict.explanation}
    return {"backend": backend, **asked, **answered, **told}


def summary(rows: list[Row]) -> list[str]:
    """A table in text: passed / promised per backend, op and level, and what did not pass."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        for op in (row["op"] or "(not loaded)", "all"):
            groups.setdefault((row["backend"], op), []).append(row)
    width = max(len("backend"), *(len(row["backend"]) for row in rows))
    heads = "".join(f"{level:>13}" for level in LEVELS)
    lines = [f"{'backend':{width}}  {'op':18}{heads}{'score':>9}  not passed"]
    for backend, op in sorted(groups, key=lambda key: (key[0], key[1] == "all", key[1])):
        lines.append(f"{backend:{width}}  {op:18}{_scores(groups[backend, op])}".rstrip())
    return lines


def _scores(rows: list[Row]) -> str:
    promised = Counter(row["level"] for row in rows)
    passed = Counter(row["level"] for row in rows if row["status"] == Status.PASSED)
    cells = [f"{passed[level]}/{promised[level]}" if promised[level] else "-" for level in LEVELS]
    others = Counter(row["status"] for row in rows)
    told = [f"{others[status]} {status}" for status in list(Status)[1:] if others[status]]
    if known := sum(bool(row["known"]) for row in rows):
        told.append(f"{known} known")
    score = percent(passed.total(), promised.total())
    return "".join(f"{cell:>13}" for cell in cells) + f"{score:>9}  {', '.join(told)}"


def percent(passed: int, promised: int) -> str:
    """A score in words, rounded down: only what passes entirely has 100 %."""
    return f"{1000 * passed // promised / 10:.1f} %" if promised else "-"
