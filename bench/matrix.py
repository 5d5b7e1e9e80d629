"""Backends x ops x levels: how much of what was promised passed, as a table and as badges."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from conformance.ledger import percent
from conformance.verdict import BAD, Status
from impls.spec.case import LEVELS
from impls.spec.ops import OPS

# What fails a run: shown apart from what is only not there.
WRONG = [str(status) for status in (*BAD, Status.UNJUDGED)]
# Shares from which a score has a color: the class of its cell, the color of its badge.
GRADES = (
    (1.0, "all", "brightgreen"),
    (0.9, "most", "green"),
    (0.5, "half", "yellow"),
    (0.0, "little", "orange"),
)
ALL = "all"
LABEL = "convformance"


def words(judged: pd.DataFrame, selection: list[str]) -> dict[str, Any]:
    """What matrix.html.j2 says: levels by backend, a line of cells per op, and the selection."""
    if judged.empty:
        return {"levels": {}, "lines": [], "selection": []}
    asked = {
        str(backend): [level for level in LEVELS if (mine["level"] == level).any()]
        for backend, mine in judged.groupby("backend", sort=False)
    }
    lines = [
        {
            "op": op or "(not loaded)",
            "cells": [
                {**_cell(_part(judged, op, backend, level)), "first": level == levels[0]}
                for backend, levels in asked.items()
                for level in levels
            ],
        }
        for op in (*_ordered(judged["op"]), ALL)
    ]
    return {"levels": asked, "lines": lines, "selection": selection}


def badges(judged: pd.DataFrame, selection: list[str], directory: Path) -> Iterator[Path]:
    """Write one shields.io endpoint per backend; none of a run that was asked for a part only."""
    for old in directory.glob("*.json"):
        old.unlink()
    if selection or judged.empty:
        return
    directory.mkdir(exist_ok=True)
    for backend, mine in judged.groupby("backend", sort=False):
        name = re.sub(r"[^\w.-]+", "_", str(backend))  # it may be a path
        path = directory / f"{name}.json"
        path.write_text(json.dumps(badge(mine), indent=1) + "\n", encoding="utf-8")
        yield path


def badge(mine: pd.DataFrame) -> dict[str, Any]:
    """One backend's score as https://shields.io/badges/endpoint-badge reads it."""
    passed, promised = int(mine["passed"].sum()), int(mine["promised"].sum())
    wrong = [f"{int(mine[status].sum())} {status}" for status in WRONG if mine[status].any()]
    level = [level for level in LEVELS if (mine["level"] == level).any()][-1]
    message = ", ".join([f"{percent(passed, promised)} of {promised} checks", level, *wrong])
    color = "red" if wrong else _graded(passed, promised)[1]
    return {"schemaVersion": 1, "label": LABEL, "message": message, "color": color}


def _part(judged: pd.DataFrame, op: str, backend: str, level: str) -> pd.DataFrame:
    mine = judged[(judged["backend"] == backend) & (judged["level"] == level)]
    return mine if op == ALL else mine[mine["op"] == op]


def _cell(part: pd.DataFrame) -> dict[str, str]:
    """Text, color class and what the pointer shows of one cell."""
    passed, promised = int(part["passed"].sum()), int(part["promised"].sum())
    if not promised:
        return {"text": "", "grade": "", "title": ""}
    others = {str(s): int(part[str(s)].sum()) for s in Status if s is not Status.PASSED}
    told = ", ".join(f"{count} {status}" for status, count in others.items() if count)
    score = percent(passed, promised)
    is_wrong = any(others[status] for status in WRONG)
    return {
        "text": ("✗ " if is_wrong else "") + score.replace(".0", "").removesuffix(" %"),
        "grade": "wrong" if is_wrong else _graded(passed, promised)[0],
        "title": f"{passed} of {promised} passed{f': {told}' if told else ''}",
    }


def _graded(passed: int, promised: int) -> tuple[str, str]:
    if not passed:
        return "none", "lightgrey"
    return next((name, color) for share, name, color in GRADES if passed >= share * promised)


def _ordered(ops: Iterable[str]) -> list[str]:
    """Ops in the order of their records, then the document's networks."""
    found = set(ops)
    return [*(op for op in OPS if op in found), *sorted(found - OPS.keys())]
