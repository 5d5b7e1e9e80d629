"""The matrix page and the badges say how much of what was promised passed."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench import matrix, report


def judged(**statuses: int) -> pd.DataFrame:
    """Checks of one backend's conv2d at level core, so many of each status."""
    return counted(line("mine", "conv2d", "core", status, n) for status, n in statuses.items())


def line(backend: str, op: str, level: str, status: str, count: int) -> list[dict[str, Any]]:
    row = {
        "backend": backend, "op": op, "level": level, "status": status, "direction": "forward",
        "accuracy": "direct", "grade": None,
    }  # fmt: skip
    return [row] * count


def counted(lines: Any) -> pd.DataFrame:
    return report.conformance(pd.DataFrame([row for rows in lines for row in rows]))


@pytest.mark.parametrize(
    "statuses, text, grade",
    [
        ({"passed": 7}, "100", "all"),
        ({"passed": 9999, "missing": 1}, "99.9", "most"),
        ({"passed": 90, "unsupported": 10}, "90", "most"),
        ({"passed": 89, "missing": 11}, "89", "half"),
        ({"passed": 1, "missing": 1}, "50", "half"),
        ({"passed": 1, "missing": 2}, "33.3", "little"),
        ({"missing": 3}, "0", "none"),
        ({"passed": 99, "failed": 1}, "✗ 99", "wrong"),
        ({"passed": 99, "error": 1}, "✗ 99", "wrong"),
        ({"passed": 99, "untrusted": 1}, "✗ 99", "wrong"),
        ({"passed": 99, "unjudged": 1}, "✗ 99", "wrong"),
    ],
)
def test_a_cell_has_the_score_and_its_color(
    statuses: dict[str, int], text: str, grade: str
) -> None:
    op, total = matrix.words(judged(**statuses), [])["lines"]
    assert (op["op"], total["op"]) == ("conv2d", "all")
    (cell,) = op["cells"]
    assert (cell["text"], cell["grade"]) == (text, grade)
    assert cell == total["cells"][0]
    passed, promised = statuses.get("passed", 0), sum(statuses.values())
    others = ", ".join(f"{n} {status}" for status, n in statuses.items() if status != "passed")
    assert cell["title"] == f"{passed} of {promised} passed{f': {others}' if others else ''}"


def test_the_matrix_has_every_backend_op_and_level_in_order() -> None:
    table = counted(
        [
            line("b", "relu", "core", "passed", 1),
            line("b", "conv2d", "document", "passed", 2),
            line("b", "SimpleCNN", "core", "missing", 1),
            line("a", "conv2d", "extended", "failed", 1),
        ]
    )
    said = matrix.words(table, ["-k relu"])
    assert said["levels"] == {"a": ["extended"], "b": ["document", "core"]}
    cells = {line["op"]: [cell["text"] for cell in line["cells"]] for line in said["lines"]}
    assert list(cells) == ["conv2d", "relu", "SimpleCNN", "all"]
    assert cells["conv2d"] == ["✗ 0", "100", ""]
    assert cells["relu"] == ["", "", "100"]
    assert cells["all"] == ["✗ 0", "100", "50"]
    assert [cell["first"] for cell in said["lines"][0]["cells"]] == [True, True, False]
    assert said["selection"] == ["-k relu"]


@pytest.mark.parametrize(
    "statuses, message, color",
    [
        ({"passed": 7}, "100.0 % of 7 checks, core", "brightgreen"),
        ({"passed": 95, "missing": 5}, "95.0 % of 100 checks, core", "green"),
        ({"passed": 60, "unsupported": 40}, "60.0 % of 100 checks, core", "yellow"),
        ({"passed": 1, "missing": 9}, "10.0 % of 10 checks, core", "orange"),
        ({"missing": 9}, "0.0 % of 9 checks, core", "lightgrey"),
        ({"passed": 9, "failed": 1}, "90.0 % of 10 checks, core, 1 failed", "red"),
        ({"passed": 8, "unjudged": 2}, "80.0 % of 10 checks, core, 2 unjudged", "red"),
    ],
)
def test_a_badge_is_a_shields_io_endpoint(
    statuses: dict[str, int], message: str, color: str, tmp_path: Path
) -> None:
    (path,) = matrix.badges(judged(**statuses), [], tmp_path / "badges")
    assert path == tmp_path / "badges" / "mine.json"
    assert json.loads(path.read_text()) == {
        "schemaVersion": 1, "label": "convformance", "message": message, "color": color,
    }  # fmt: skip


def test_a_part_has_no_badge_and_takes_the_old_one_away(tmp_path: Path) -> None:
    assert list(matrix.badges(judged(passed=1), [], tmp_path))
    assert not list(matrix.badges(judged(passed=1), ["-k relu"], tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_backend_named_by_its_path_has_a_badge_of_its_own(tmp_path: Path) -> None:
    names = ("a folder/mine.py", "other/mine.py")
    table = counted(line(name, "conv2d", "core", "passed", 1) for name in names)
    written = [path.name for path in matrix.badges(table, [], tmp_path)]
    assert written == ["a_folder_mine.py.json", "other_mine.py.json"]
