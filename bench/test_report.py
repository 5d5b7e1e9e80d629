"""Stored runs become tables and pages; what is no run is refused in clear words."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench import instrument, report
from bench.__main__ import main
from bench.duel import Outcome
from bench.machine import ROOT
from bench.row import Row
from bench.runs import Run, frame, store
from bench.stored import RunError
from bench.synthetic import made_up
from conformance import jsonl

CEILINGS = {"gflops_per_s": 100.0, "gbytes_per_s": 20.0}
MACHINE = {
    "date": "2026-01-02T03:04:05+00:00",
    "cpu": "a processor <b>",
    "cores": 2,
    "python": "3.11",
    "packages": {"torch": "2.13.0"},
    "revision": "abc",
    "ceilings_before": CEILINGS,
    "ceilings_after": {"gflops_per_s": 110.0, "gbytes_per_s": 20.0},
}


def row(backend: str, direction: str, verdict: str, ratio: float | None, reason: str = "") -> Row:
    timed: dict[str, Any] = {}
    if ratio is not None:
        timed = {
            "ratio_low": 0.9 * ratio, "ratio_high": 1.1 * ratio, "twin_ratio": 1.0,
            "time_median_s": 0.001 / ratio, "time_min_s": 0.0005, "torch_median_s": 0.001,
            "gflops_per_s": 3.0 * ratio, "rounds": 15, "dirty_share": 0.0, "grade": 0.4,
        }  # fmt: skip
    return Row(
        backend=backend, network="resnet50", workload="resnet50:conv1", op="conv2d",
        direction=direction, dtype="float32", batch=1, threads="one", seed=1, times=1,
        macs=118013952, bytes_min=3852800, verdict=verdict, reason=reason, ratio=ratio,
        repeat="python ...", **timed,
    )  # fmt: skip


ROWS = [
    row("numba", "forward", "FASTER", 2.0),
    row("numba", "grad_weight", "SLOWER", 0.5),
    row("loop", "forward", "SKIPPED", None, "a call would take 40 s, the cap is 0.5 s"),
]


def check(backend: str, status: str, level: str, message: str = "") -> dict[str, Any]:
    return {
        "backend": backend, "op": "conv2d", "direction": "forward", "level": level,
        "kind": "values", "aspect": "", "dtype": "float32", "case": "i1", "why": "defaults",
        "accuracy": "direct",
        "status": status, "grade": 0.7 if status == "passed" else None, "message": message,
        "known": "", "repeat": "pytest ...",
        "explanation": "map: output[0]\n  .#" if message else "",
    }  # fmt: skip


def recorded(rows: list[dict[str, Any]]) -> jsonl.Recorded:
    header = {
        "schema": jsonl.SCHEMA, "started": "2026-01-02T03:04:05+00:00", "versions": {},
        "threads": {}, "seeds": "", "level": "extended", "oracle": "torch",
        "selection": [], "backends": {}, "promised": jsonl.promised(rows),
    }  # fmt: skip
    footer = {"counts": jsonl.statuses(rows), "duration_s": 1.0, "exit": 1}
    return jsonl.Recorded(header, rows, footer)


def sampled(rows: list[Row]) -> list[Outcome]:
    """Rows with samples that tell their ratio."""
    return [Outcome(r, made_up(r.ratio, noise=0)) for r in rows if r.ratio is not None]


CHECKS = [
    check("numba", "passed", "core"),
    check("numba", "failed", "core", "output[0]=1.0, but should be <2.0>"),
    check("loop", "missing", "extended", "no kernel conv"),
]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    run = Run("quick", MACHINE, {"numba, one": {"torch": 1}}, [asdict(r) for r in ROWS])
    store(run, frame(sampled(ROWS)), tmp_path)
    jsonl.write(tmp_path / "conformance.jsonl", recorded(CHECKS))
    return tmp_path


def test_render_writes_every_promised_file(stored: Path) -> None:
    written = {path.relative_to(stored).as_posix() for path in report.render(stored)}
    assert written == {
        "performance.csv", "conformance.csv", "index.html", "report.md",
        "badges/numba.json", "badges/loop.json",
        "plots/ratios.svg", "plots/roofline.svg", "plots/grades.svg",
    }  # fmt: skip
    assert all((stored / name).stat().st_size for name in written)


def test_performance_csv_has_the_rows(stored: Path) -> None:
    list(report.render(stored))
    table = pd.read_csv(stored / "performance.csv")
    assert list(table.columns) == [field.name for field in fields(Row)]
    assert list(table["ratio"].dropna()) == pytest.approx([2.0, 0.5])
    assert table["reason"].iloc[2] == "a call would take 40 s, the cap is 0.5 s"


def test_every_figure_is_computed_from_the_samples_alone(stored: Path) -> None:
    list(report.render(stored))
    figures = (stored / "performance.csv").read_bytes()
    run = json.loads((stored / "run.json").read_text())
    for stored_row in run["rows"]:
        if stored_row["ratio"] is not None:
            stored_row |= {"ratio": 9.0, "verdict": "SAME", "time_median_s": 1.0, "p_value": 1.0}
    (stored / "run.json").write_text(json.dumps(run))
    list(report.render(stored))
    assert (stored / "performance.csv").read_bytes() == figures
    samples = pd.read_csv(stored / "samples.csv")
    is_backend = samples["arm"] == "backend"
    samples.loc[is_backend, ["wall_ns", "cpu_ns"]] *= 2
    samples.to_csv(stored / "samples.csv", index=False)
    list(report.render(stored))
    table = pd.read_csv(stored / "performance.csv")
    assert list(table["ratio"].dropna()) == pytest.approx([1.0, 0.25])
    assert list(table["verdict"]) == ["SAME", "SLOWER", "SKIPPED"]


def test_the_page_shows_the_tests_of_the_harness(stored: Path) -> None:
    trial = instrument.Trial("quiet", "im2col", "w forward", 1.0, 1.001, 1.0, 1.002, "SAME", "")
    instrument.keep("aa", [trial], stored)
    list(report.render(stored))
    for name in ("index.html", "report.md"):
        page = (stored / name).read_text()
        assert "A backend beside itself: of 1 verdicts none wrong (1 SAME)" in page


def test_a_flagged_row_is_marked(stored: Path) -> None:
    samples = pd.read_csv(stored / "samples.csv")
    slow = (samples["arm"] == "backend") & (samples["round"] % 5 < 2)
    samples.loc[slow & (samples["direction"] == "forward"), "cpu_ns"] *= 2
    samples.to_csv(stored / "samples.csv", index=False)
    list(report.render(stored))
    flags = pd.read_csv(stored / "performance.csv")["flags"]
    assert list(flags.fillna("")) == ["modes", "", ""]
    # Among all layers, and among the dense ones.
    assert (stored / "report.md").read_text().count("] ⚑") == 2


def test_conformance_csv_counts_checks(stored: Path) -> None:
    list(report.render(stored))
    loop, numba = pd.read_csv(stored / "conformance.csv").to_dict("records")
    assert (numba["backend"], numba["level"], numba["op"]) == ("numba", "core", "conv2d")
    assert (numba["passed"], numba["failed"], numba["promised"]) == (1, 1, 2)
    assert (numba["score"], numba["worst_grade"]) == (0.5, 0.7)
    assert (loop["level"], loop["missing"], loop["passed"]) == ("extended", 1, 0)


def test_the_page_says_what_was_found_and_is_self_contained(stored: Path) -> None:
    list(report.render(stored))
    page = (stored / "index.html").read_text()
    # The geometric mean of 2 and 1/2.
    assert "numba passes 1 of 2 checks, 1 wrong and runs at 1 times PyTorch&#39;s speed" in page
    assert "output[0]=1.0, but should be &lt;2.0&gt;" in page
    assert "\nrepeat: pytest ...\nmap: output[0]\n  .#</pre>" in page
    assert "a processor &lt;b&gt;" in page
    assert "a call would take 40 s" in page
    assert page.count("<svg") == 3
    assert not any(word in page for word in ("<script", "<link", "src=", "<b></b>"))


def test_the_markdown_says_the_same(stored: Path) -> None:
    list(report.render(stored))
    text = (stored / "report.md").read_text()
    assert "2x ▲ [2, 2]" in text
    assert "    failed: output[0]=1.0, but should be <2.0>" in text
    assert "    repeat: pytest ...\n    map: output[0]\n      .#\n" in text
    assert "| loop      | extended | 0 / 1" in text


def test_plots_are_svg_and_repeatable(stored: Path) -> None:
    list(report.render(stored))
    before = {path.name: path.read_bytes() for path in (stored / "plots").iterdir()}
    for text in before.values():
        assert ET.fromstring(text).tag.endswith("svg")
    list(report.render(stored))
    assert before == {path.name: path.read_bytes() for path in (stored / "plots").iterdir()}


def test_conformance_alone_makes_a_page(stored: Path) -> None:
    (stored / "run.json").unlink()
    names = {path.name for path in report.render(stored)}
    assert "index.html" in names
    assert "performance.csv" not in names
    assert "nothing was timed" in (stored / "index.html").read_text()


def test_a_run_alone_makes_a_page(stored: Path) -> None:
    (stored / "conformance.jsonl").unlink()
    assert "conformance.csv" not in {path.name for path in report.render(stored)}
    assert "Passed of promised" not in (stored / "report.md").read_text()


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 1}', '{"schema": 2, "rows": []}'])
def test_a_foreign_run_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match="must be a run that"):
        list(report.render(tmp_path))


def test_a_truncated_conformance_file_is_refused(stored: Path) -> None:
    path = stored / "conformance.jsonl"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(RunError, match="`pytest conformance --jsonl` wrote: it is cut off"):
        list(report.render(stored))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must hold one of run\.json, conformance\.jsonl"):
        list(report.render(tmp_path))


def test_the_command_line_says_what_is_wrong_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path)])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        f"bench: {tmp_path} must hold one of {', '.join(report.STORED)}, but has none\n"
    )


def test_the_readers_guide_explains_every_column(stored: Path) -> None:
    list(report.render(stored))
    guide = (ROOT / "reports" / "README.md").read_text()
    columns = {
        *pd.read_csv(stored / "performance.csv").columns,
        *pd.read_csv(stored / "conformance.csv").columns,
        *pd.read_csv(stored / "samples.csv").columns,
        *jsonl.HEADER,
        *jsonl.ROW,
        *jsonl.FOOTER,
    }
    assert sorted(name for name in columns if f"`{name}`" not in guide) == []


def test_the_cases_are_shown_with_what_they_cover_and_what_none_tells(stored: Path) -> None:
    certificate: dict[str, Any] = {
        "schema": 1,
        "ops": [
            {"op": "conv2d", "named": 53, "rows": 31, "tails": 9, "pairs": 807, "covered": 801,
             "factors": {"stride": ["1", "(2, 3)"], "bias": ["True", "False"]},
             "impossible": [{"pair": "padding same with stride 2", "rule": "must have stride 1"}]},
        ],
        "witnesses": [
            {"op": "conv2d", "direction": "forward", "confusion": "stride: its default",
             "level": "core", "case": "i1-s2", "by": "shape"},
            {"op": "conv2d", "direction": "grad_input", "confusion": "stride: its default",
             "level": "", "case": "", "by": ""},
        ],
    }  # fmt: skip
    path = stored / "cases.json"
    path.write_text(json.dumps(certificate))
    list(report.render(stored))
    for name in ("index.html", "report.md"):
        text = (stored / name).read_text()
        assert "1 of 2" in text
        assert "padding same with stride 2" in text
        assert "must have stride 1" in text
        words = " ".join(re.sub(r"<[^>]+>|\|", " ", text).split())
        assert "conv2d grad_input stride: its default" in words
    page = (stored / "index.html").read_text()
    assert "801 pairs covered" in page
    assert "shape, core" in page
    assert "1 · (2, 3)" in page
    guide = (ROOT / "reports" / "README.md").read_text()
    fields_of = {*certificate["ops"][0], *certificate["witnesses"][0], "ops", "witnesses"}
    assert fields_of - {"op", "direction"} <= set(re.findall(r"`(\w+)`", guide))
    path.write_text('{"schema": 0}')
    with pytest.raises(RunError, match=r"cases\.json must be what"):
        list(report.render(stored))


def test_a_conformance_file_without_checks_is_no_checks(stored: Path) -> None:
    jsonl.write(stored / "conformance.jsonl", recorded([]))
    assert "conformance.csv" not in {path.name for path in report.render(stored)}
