"""Counts verdicts per backend and op, shows them, and stores one line per check."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from conformance.checks import Check
from conformance.verdict import Status, Verdict
from impls.spec.case import LEVELS

Row = dict[str, Any]


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


def asked(check: Check) -> Row:
    """What a check asks, as columns."""
    asked = ("direction", "level", "kind", "aspect", "dtype")
    found = {name: getattr(check, name) for name in asked}
    case = {"case": check.case.id, "why": check.case.why} if check.case else {}
    return {**LOADS, **found, "op": check.op.name, **case}


def row(backend: str, asked: Row, verdict: Verdict, repeat: str) -> Row:
    """One check as the columns of conformance.jsonl; reports/README.md explains each."""
    answered = {"status": str(verdict.status), "grade": verdict.grade, "message": verdict.message}
    return {"backend": backend, **asked, **answered, "repeat": repeat}


def write(rows: Iterable[Row], path: Path) -> None:
    """One JSON object per line and check."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def summary(rows: list[Row]) -> list[str]:
    """A table in text: how many checks of each status, per backend and op."""
    width = max(len("backend"), *(len(row["backend"]) for row in rows))
    names = [str(status) for status in Status]
    lines = [f"{'backend':{width}}  {'op':18}" + "".join(f"{name:>12}" for name in names)]
    counts: dict[tuple[str, str], Counter[str]] = {}
    for row in rows:
        for op in (row["op"] or "(not loaded)", "all"):
            counts.setdefault((row["backend"], op), Counter())[row["status"]] += 1
    for backend, op in sorted(counts, key=lambda key: (key[0], key[1] == "all", key[1])):
        cells = (counts[backend, op][name] or "-" for name in names)
        lines.append(f"{backend:{width}}  {op:18}" + "".join(f"{cell:>12}" for cell in cells))
    return lines
