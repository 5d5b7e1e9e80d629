"""The stored kill matrix becomes tables and a section of the page; a broken one is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import faults, report
from bench.machine import ROOT
from bench.stored import RunError
from conformance.meta import STORED, matrix


def cell(backend: str, kind: str, **changes: Any) -> dict[str, Any]:
    row = {
        "backend": backend, "kernel": "conv", "role": "fault", "like": "keras #19721",
        "expected": "values", "kind": kind, "asked": 9, "status": "passed", "place": None,
        "seconds": None, "level": "", "check": "", "message": "",
    }  # fmt: skip
    return {**row, **changes}


def kill(place: int, level: str) -> dict[str, Any]:
    message = f"output[0]=<{place}>, but should be 1.0"
    return {
        "status": "failed", "place": place, "seconds": 0.25, "level": level, "check": f"c{place}",
        "message": message,
    }  # fmt: skip


ROWS = [
    cell("conv sins", "values", **kill(7, "core")),
    cell("conv sins", "shapes", **kill(3, "document")),
    cell("conv lies", "values", **kill(40, "extended")),
    cell("conv lies", "shapes"),
    cell("conv lies", "axioms", **kill(99, "core")),
    cell("relu hides", "values", kernel="relu"),
    cell("FFT", "values", role="right", expected="", asked=30),
    cell("FFT", "shapes", role="right", expected="", asked=12),
]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    matrix.write(ROWS, tmp_path / STORED)
    return tmp_path


def test_figures_and_tables_count_faults_once(stored: Path) -> None:
    page = faults.page(faults.load(stored))
    assert page is not None
    assert page["figures"] == {
        "faults": 3, "caught": 2, "expected": 2, "rights": 1, "refused": 0, "asked": 42,
        "without": 1,
    }  # fmt: skip
    assert page["kinds"].to_dict("records") == [
        {"kind of check": "values", "asked": 3, "sees": 2, "sees alone": 1, "should see": 3},
        {"kind of check": "shapes", "asked": 2, "sees": 1, "sees alone": 0, "should see": 0},
    ]
    assert page["kernels"].columns.name is None
    conv, relu = page["kernels"].to_dict("records")
    assert conv == {"kernel": "conv", "faults": 2, "values": "2 (1)", "shapes": "1"}
    assert (relu["faults"], relu["values"]) == (1, "")
    assert list(page["levels"]["dead by then"]) == [1, 1, 2]
    (right,) = page["rights"].to_dict("records")
    assert (right["right backend"], right["checks"], right["refused"]) == ("FFT", 42, 0)


def test_each_fault_is_told_by_its_first_kill(stored: Path) -> None:
    page = faults.page(faults.load(stored))
    assert page is not None
    sins, _, hides = page["lines"].to_dict("records")
    assert (sins["checks"], sins["level"], sins["ms"]) == (3, "document", "250")
    assert (sins["first seen by"], sins["sees it"]) == ("shapes c3", "values, shapes")
    assert hides["sees it"] == "nothing"


def test_the_page_has_the_section_and_is_made_of_it_alone(stored: Path) -> None:
    written = {path.name for path in report.render(stored)}
    assert written == {"index.html", "report.md"}
    page = (stored / "index.html").read_text()
    assert "2 of 3 faulty backends are caught, 0 of 1 right ones refused." in page
    assert "output[0]=&lt;3&gt;, but should be 1.0" in page
    assert "| values          |" in (stored / "report.md").read_text()


def test_without_a_kill_matrix_there_is_no_section(tmp_path: Path) -> None:
    assert faults.page(faults.load(tmp_path)) is None


@pytest.mark.parametrize("change", [lambda lines: lines[:-1], lambda lines: lines[1:]])
def test_a_truncated_or_foreign_file_is_refused(stored: Path, change: Any) -> None:
    path = stored / STORED
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(RunError, match=r"must be what `python -m conformance\.meta` wrote"):
        faults.load(stored)


def test_the_readers_guide_explains_every_column(stored: Path) -> None:
    header, row = map(json.loads, (stored / STORED).read_text().splitlines()[:2])
    guide = (ROOT / "reports" / "README.md").read_text()
    assert [name for name in (*header, *row) if f"`{name}`" not in guide] == []
