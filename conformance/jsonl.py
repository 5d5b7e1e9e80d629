"""conformance.jsonl, written and read: a header, one line per promised check, a footer.

Whoever reads it gets all of a run or a JsonlError that names the file, the line and the rule.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any

from conformance.checks import ORACLES
from conformance.verdict import Status
from impls.spec.case import LEVELS

SCHEMA = 1

Line = dict[str, Any]
# Types by name of what a line holds; reports/README.md explains each.
Schema = Mapping[str, type | UnionType]

HEADER: Schema = {
    "schema": int,
    "started": str,
    "versions": dict,
    "threads": dict,
    "seeds": str,
    "level": str,
    "oracle": str,
    "selection": list,
    "backends": dict,
    "promised": dict,
}
ROW: Schema = {
    "backend": str,
    "op": str,
    "direction": str,
    "level": str,
    "kind": str,
    "aspect": str,
    "dtype": str,
    "case": str,
    "why": str,
    "accuracy": str,
    "status": str,
    "grade": float | None,
    "message": str,
    "known": str,
    "repeat": str,
    "explanation": str,
}
FOOTER: Schema = {"counts": dict, "duration_s": float, "exit": int}
# What a value must be one of.
CHOICES = {"level": LEVELS, "oracle": ORACLES, "status": tuple(map(str, Status))}


class JsonlError(ValueError):
    """A file that is no conformance.jsonl, or not all of one."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run of the suite, as it is stored."""

    header: Line
    rows: list[Line]
    footer: Line


def begin(path: Path, header: Line) -> None:
    """Write the header alone: what a run that is cut off leaves behind, and no reader takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_text({"header": header}), encoding="utf-8")


def write(path: Path, recorded: Recorded) -> None:
    """Write all of a run."""
    lines = [{"header": recorded.header}, *recorded.rows, {"footer": recorded.footer}]
    path.write_text("".join(map(_text, lines)), encoding="utf-8")


def read(path: Path) -> Recorded:
    """All of a run; JsonlError if the file is cut off, changed or foreign."""
    try:
        return _read(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise JsonlError(
            f"{path} must be what `pytest conformance --jsonl` wrote: {error}"
        ) from error


def _read(text: str) -> Recorded:
    lines = text.splitlines()
    if not lines:
        raise ValueError("it is empty")
    header = _wrapped("header", _parsed(1, lines[0]), 1)
    if header.get("schema") != SCHEMA:
        raise ValueError(f"schema={header.get('schema')!r} must be {SCHEMA}")
    _check(header, HEADER, "line 1, header")
    try:
        footer = _wrapped("footer", _parsed(len(lines), lines[-1]), len(lines))
    except ValueError as error:
        raise ValueError(f"it is cut off: {error}") from None
    rows = [_parsed(number, line) for number, line in enumerate(lines[1:-1], 2)]
    for number, row in enumerate(rows, 2):
        _check(row, ROW, f"line {number}")
    _check(footer, FOOTER, f"line {len(lines)}, footer")
    _check_counts(header["promised"], promised(rows), "promised")
    _check_counts(footer["counts"], statuses(rows), "counts")
    return Recorded(header, rows, footer)


def promised(rows: list[Line]) -> dict[str, dict[str, int]]:
    """How many checks each backend has at each level."""
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        levels = found.setdefault(row["backend"], {})
        levels[row["level"]] = levels.get(row["level"], 0) + 1
    return found


def statuses(rows: list[Line]) -> dict[str, int]:
    """How many checks have each status."""
    found = dict.fromkeys(map(str, Status), 0)
    for row in rows:
        found[row["status"]] += 1
    return found


def _text(line: Line) -> str:
    return json.dumps(line) + "\n"


def _parsed(number: int, line: str) -> Line:
    try:
        found = json.loads(line)
    except ValueError:
        raise ValueError(f"line {number} is no JSON") from None
    if not isinstance(found, dict):
        raise ValueError(f"line {number} must be an object")
    return found


def _wrapped(what: str, line: Line, number: int) -> Line:
    """The object that a header or footer line holds."""
    if list(line) != [what] or not isinstance(line[what], dict):
        raise ValueError(f"line {number} must be the {what}")
    found: Line = line[what]
    return found


def _check(line: Line, schema: Schema, where: str) -> None:
    if missing := schema.keys() - line.keys():
        raise ValueError(f"{where}: {', '.join(sorted(missing))} must be there")
    if foreign := line.keys() - schema.keys():
        raise ValueError(f"{where}: {', '.join(sorted(foreign))} must not be there")
    for name, wanted in schema.items():
        value = line[name]
        if not isinstance(value, wanted) or isinstance(value, bool):
            told = getattr(wanted, "__name__", wanted)
            raise ValueError(f"{where}: {name}={value!r} must be {told}")
        if name in CHOICES and value not in CHOICES[name]:
            raise ValueError(f"{where}: {name}={value!r} must be one of {', '.join(CHOICES[name])}")


def _check_counts(said: Line, counted: Line, what: str) -> None:
    if said != counted:
        raise ValueError(f"{what} is {said}, but its lines say {counted}")
