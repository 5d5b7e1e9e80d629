"""The kill matrix tells survivors and refusals, and is the same as the suite's own verdicts."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance.checks import up_to
from conformance.judge import judge
from conformance.meta import FORMAT, STORED, __main__, matrix
from conformance.meta.faults import FAULTS, Fault
from conformance.meta.rights import RIGHTS
from conformance.verdict import BAD
from impls.spec.ops import OPS


def fault(name: str) -> Fault:
    return next(fault for fault in FAULTS if fault.name == name)


def by_kind(name: str) -> dict[str, matrix.Row]:
    return {row["kind"]: row for row in matrix.rows(name, fault(name).kernel)}


def test_every_backend_is_judged_once_per_kernel() -> None:
    parts = list(matrix.parts(list(matrix.BY_NAME)))
    assert len(set(parts)) == len(parts)
    assert len(parts) == len(FAULTS) + sum(len(right.kernels) for right in RIGHTS)


def test_the_first_kill_is_the_suites_own() -> None:
    name = "relu takes the magnitude"
    rows = by_kind(name)
    first = min((row for row in rows.values() if row["status"] in BAD), key=lambda r: r["place"])
    backend = fault(name).backend()
    document = [c for c in up_to("document") if c.op is OPS["relu"]]
    places = [at for at, check in enumerate(document, 1) if judge(backend, check).status in BAD]
    assert (first["place"], first["level"]) == (places[0], "document")
    assert first["check"] == document[places[0] - 1].id
    assert first["message"].startswith("output[")
    assert rows["interface"]["status"] == rows["shapes"]["status"] == "passed"


def test_a_gate_is_asked_what_calls_it_and_nothing_else() -> None:
    asked = matrix.asked(fault("the gate's conv2d_backward accepts integers"))
    assert {question.kind for question in asked} >= {"errors", "gradients", "networks"}
    assert not {"interface", "values"} & {question.kind for question in asked}
    assert all("backward" in q.text for q in asked if q.kind == "errors")


ROWS = [
    {"backend": "a", "role": "fault", "expected": "values", "kind": "values", "status": "failed"},
    {"backend": "b", "role": "fault", "expected": "values", "kind": "values", "status": "passed"},
    {"backend": "b", "role": "fault", "expected": "values", "kind": "shapes", "status": "error"},
    {"backend": "c", "role": "fault", "expected": "dye", "kind": "dye", "status": "passed"},
    {"backend": "c", "role": "fault", "expected": "dye", "kind": "axioms", "status": "failed"},
    {"backend": "d", "role": "right", "expected": "", "kind": "values", "status": "untrusted",
     "message": "it is 1.0 everywhere", "check": "relu-i3"},
    {"backend": "e", "role": "right", "expected": "", "kind": "values", "status": "passed"},
]  # fmt: skip


def test_survivors_and_refusals_are_told() -> None:
    assert sorted(matrix.wrongs(ROWS)) == [
        "b should be caught by values, but is caught only by shapes",
        "c should be caught by dye, but is caught only by axioms",
        "d is refused: it is 1.0 everywhere (relu-i3)",
    ]
    assert matrix.sentence(ROWS) == (
        "2 of 3 faulty backends are caught, 1 of 2 right ones refused."
    )


def test_the_command_judges_in_processes_and_stores(tmp_path: Path) -> None:
    arguments = ["--select", "relu takes the magnitude", "--jobs", "1", "--out", str(tmp_path)]
    assert __main__.main(arguments) == 0
    header, *rows = [json.loads(line) for line in (tmp_path / STORED).read_text().splitlines()]
    assert (header["format"], header["rows"]) == (FORMAT, len(rows))
    assert {row["kind"]: row["status"] for row in rows}["values"] == "failed"


def test_the_command_fails_for_a_survivor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def judged(*_: Any) -> Iterator[matrix.Row]:
        yield from ROWS[2:3]

    monkeypatch.setattr(__main__, "judged", judged)
    assert __main__.main(["--out", str(tmp_path)]) == 1
    assert "b should be caught by values, but is caught only by shapes" in capsys.readouterr().out


def test_a_selection_of_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        __main__.main(["--select", "no such sin"])
    assert ended.value.code == 2
    assert "must be part of a backend's name" in capsys.readouterr().err


def test_the_readmes_figures_are_the_zoos() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    figures = r"half of them .*? (\d+) of (\d+)\s+are\s+caught.*? of (\d+) backends"
    found = re.search(figures, text, re.S)
    assert found is not None
    assert [int(figure) for figure in found.groups()] == [len(FAULTS), len(FAULTS), len(RIGHTS)]
    assert 0.4 < sum(bool(fault.like) for fault in FAULTS) / len(FAULTS) < 0.6
    table = re.findall(r"^  \| ([a-z_0-9 ]+) \| \d+ \| \d+ \| \d+ \| (\d+) \|$", text, re.M)
    expected = Counter(fault.expected for fault in FAULTS)
    assert {kind: int(count) for kind, count in table if count != "0"} == expected
