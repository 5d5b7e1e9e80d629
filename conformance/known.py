"""Known failures: checks that a backend's author expects to fail, each with the reason.

    [[failure]]
    check = "test_values[mine-conv2d-forward-*-float32]"  # a test's id; * stands for any text
    reason = "accumulates in half precision: https://..."

Strict both ways: a listed check that does not fail fails the run, and so does an entry that no
check has. A known failure is no failed test, and counts against the score like any other.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

KEYS = {"check", "reason"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One expected failure.

    where: its file and place, for messages. check: a test's id, * for any text in it.
    """

    where: str
    check: str
    reason: str

    def matches(self, test: str) -> bool:
        """Whether it lists a test, "test_values[mine-conv2d-...]"."""
        pattern = ".*".join(map(re.escape, self.check.split("*")))
        return re.fullmatch(pattern, test) is not None


def load(path: Path) -> list[Entry]:
    """The entries of a file; ValueError that names file, entry and rule if one is not right."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} must be a TOML file: {error}") from error
    if found.keys() != {"failure"} or not isinstance(found["failure"], list):
        raise ValueError(f"{path} must hold entries [[failure]] and nothing else")
    return list(_entries(path, found["failure"]))


def _entries(path: Path, tables: list[object]) -> Iterator[Entry]:
    for number, table in enumerate(tables, 1):
        where = f"{path}, entry {number}"
        if not isinstance(table, dict):
            raise ValueError(f"{where} must be a table")
        if foreign := table.keys() - KEYS:
            raise ValueError(f"{where}: {', '.join(sorted(foreign))} must be check or reason")
        for key in sorted(KEYS):
            value = table.get(key)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"{where}: {key}={value!r} must be a str that says something")
        yield Entry(where, **table)


def find(entries: list[Entry], test: str) -> Entry | None:
    """The first entry that lists a test."""
    return next((entry for entry in entries if entry.matches(test)), None)


def stale(entries: list[Entry], tests: Iterable[str]) -> list[Entry]:
    """The entries that list none of the tests."""
    every = list(tests)
    return [entry for entry in entries if not any(map(entry.matches, every))]
