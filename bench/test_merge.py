"""Runs of several machines become one report, and no figure of it is of two machines."""

from pathlib import Path

import pandas as pd
import pytest

from bench import merge
from bench.__main__ import main
from bench.runs import load, store
from bench.stored import RunError
from bench.test_compare import TASKS, stored
from bench.test_sitting import CEILINGS, FACTS


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """On the first machine the backend has half of PyTorch's speed, on the second a quarter."""
    fc, relu = TASKS
    found = {
        "laptop": {fc: 2e6, relu: 2e6},
        "server": {fc: 4e6},
    }
    for seed, (name, times) in enumerate(found.items()):
        stored(tmp_path / name, times, seed=10 * seed)
        run = load(tmp_path / name)
        assert run is not None
        run.machine.update(FACTS, cpu=f"the {name}'s <cpu>", ceilings_before=CEILINGS)
        store(run, pd.read_csv(tmp_path / name / "samples.csv"), tmp_path / name)
    return [tmp_path / name for name in found]


def test_each_machine_has_its_column(two: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "merged"
    assert main(["report", *map(str, two), "--out", str(out)]) == 0
    table = pd.read_csv(out / "performance.csv")
    assert list(table["machine"]) == ["laptop", "laptop", "server"]
    (line,) = merge.scoreboard(table).to_dict("records")
    # relu, which the server has not timed, counts on neither.
    assert (line["laptop"], line["server"], line["rows"]) == ("0.5x", "0.25x", 1)
    fc, relu = merge.layers(table).to_dict("records")
    assert [fc[name].split()[1] for name in ("laptop", "server")] == ["▼", "▼"]
    assert relu["server"] == ""
    page = (out / "index.html").read_text()
    assert "the server&#x27;s &lt;cpu&gt;" in page or "the server's &lt;cpu&gt;" in page
    assert "<style>" in page
    assert "| laptop" in (out / "report.md").read_text()


def test_machines_without_a_common_row_have_no_scoreboard(two: list[Path], tmp_path: Path) -> None:
    stored(two[1], {TASKS[1]: 1e6}, seed=3)
    stored(two[0], {TASKS[0]: 1e6}, seed=4)
    list(merge.render(two, tmp_path / "merged"))
    table = pd.read_csv(tmp_path / "merged" / "performance.csv")
    assert merge.scoreboard(table).empty


def test_what_is_no_run_or_has_no_name_of_its_own_is_refused(
    two: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=r"must hold run\.json"):
        list(merge.render([two[0], tmp_path / "empty"], tmp_path / "merged"))
    with pytest.raises(RunError, match="folders must have different names"):
        list(merge.render([two[0], two[0]], tmp_path / "merged"))
