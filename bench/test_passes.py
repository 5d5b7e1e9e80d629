"""Side passes: what they measure is what they say, and a failure costs its own figures."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import pass_tables, pass_worker, passes, report
from bench.machine import ROOT
from bench.pass_worker import AXES, PASSES, PYTORCH, grown
from bench.passes import COLUMNS, Unit
from bench.stored import RunError
from impls.spec.op import FORWARD


def record(name: str, measure: str, value: float | None, **others: Any) -> dict[str, Any]:
    blank = {
        "pass": name, "backend": "im2col", "workload": "resnet50:maxpool", "direction": FORWARD,
        "threads": 1, "axis": "", "size": None, "measure": measure, "sample": 0, "value": value,
        "method": "", "reason": "", "sources": "abc",
    }  # fmt: skip
    return {**blank, **others}


FOUND = pd.DataFrame(
    [
        record("first_call", "first_call_s", 2.0),
        record("first_call", "cached_call_s", 0.5),
        *(
            record("first_call", "seconds", s, sample=i)
            for i, s in enumerate((0.001, 0.009, 0.002))
        ),
        record("memory", "peak_bytes", 6 * 2**20, method="memray: every allocation"),
        record("memory", "operand_bytes", 2 * 2**20),
        record("cold_cache", "warm_s", 0.002),
        record("cold_cache", "cold_s", 0.003),
        record("threads", "seconds", 0.008),
        record("threads", "seconds", 0.002, threads=4),
        record("threads", "seconds", 0.002, threads=4, workload="resnet50:maxpool@1/4"),
        *(record("growth", "seconds", 1e-6 * s**2, axis="image", size=s) for s in AXES["image"]),
        # The smallest costs only the call: it must not bend the fit.
        record("growth", "seconds", 1.0, axis="batch", size=1),
        *(record("growth", "seconds", 0.3 * n, axis="batch", size=n) for n in (2, 4, 8, 16)),
        *(record("growth", "seconds", 1.0, axis="kernel", size=k) for k in (1, 3, 5)),
        record("memory", "", None, backend="mine", workload="", reason="ended with exit status 3"),
    ],
    columns=list(COLUMNS),
)


def test_tables_say_what_was_measured() -> None:
    tables = {name: t.to_dict("records") for name, t in pass_tables.tables(FOUND).items()}
    (first,) = tables["first_call"]
    assert (first["first"], first["cached"], first["later"]) == (2.0, 0.5, 0.002)
    (memory,) = tables["memory"]
    assert (memory["peak / operands"], memory["method"]) == (3.0, "memray: every allocation")
    assert tables["cold_cache"][0]["cold / warm"] == pytest.approx(1.5)
    (scaled,) = tables["threads"]  # not the row that one thread has no time of
    assert scaled["4 threads"] == pytest.approx(4.0)
    assert tables["absent"][0]["reason"] == "ended with exit status 3"


def test_exponents_are_fitted_to_the_largest_sizes() -> None:
    exponents = pass_tables.growth(FOUND).set_index("size")["exponent"]
    assert exponents["image"] == pytest.approx(2)
    assert exponents["batch"] == pytest.approx(1)
    assert "kernel" not in exponents  # three points are too few


def test_figures_are_written_as_a_reader_wants_them() -> None:
    shown = pass_tables.shown(pass_tables.memory(FOUND)).to_dict("records")[0]
    assert (shown["peak"], shown["operands"], shown["peak / operands"]) == ("6 MiB", "2 MiB", "3x")
    first = pass_tables.shown(pass_tables.first_call(FOUND)).to_dict("records")[0]
    assert (first["first"], first["later"]) == ("2 s", "2 ms")


def test_a_page_shows_the_passes(tmp_path: Path) -> None:
    FOUND.to_csv(tmp_path / passes.FILE, index=False)
    (tmp_path / "conformance.jsonl").write_text("")
    environment = report._environment()
    page = {"passes": pass_tables.tables(FOUND), "plots": {"growth": "<svg></svg>"}}
    html = environment.get_template("passes.html.j2").render(**page)
    assert "6 MiB" in html
    assert "<svg></svg>" in html
    assert "ended with exit status 3" in html
    text = environment.get_template("passes.md.j2").render(**page)
    assert "### Cold cache" in text
    path = pass_tables.plot_growth(FOUND, tmp_path / "growth.svg")
    assert "<svg" in path.read_text()


def test_the_varied_conv_is_valid_and_grows() -> None:
    for axis, sizes in AXES.items():
        macs = [grown(axis, size).macs for size in sizes]
        assert macs == sorted(set(macs))
    image, double = grown("image", 56), grown("image", 112)
    assert double.macs == 4 * image.macs
    assert grown("batch", 8).case.shapes[0][0] == 8


def test_the_peak_of_a_call_is_what_it_allocates() -> None:
    peak, method = pass_worker._peak_bytes(lambda: np.ones(2**20))
    assert method.startswith("memray")
    assert 2**23 <= peak < 1.1 * 2**23


def test_without_memray_the_method_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "memray", None)
    peak, method = pass_worker._peak_bytes(lambda: np.ones(2**20))
    assert method.startswith("tracemalloc")
    assert 2**23 <= peak < 1.1 * 2**23


def test_a_pass_of_a_real_backend() -> None:
    """im2col holds its columns, nine times the input of a 3 x 3, beside operands and result."""
    records = passes._measured(Unit("memory", "im2col", 1))
    values = {(r["workload"], r["direction"], r["measure"]): r["value"] for r in records}
    row = ("resnet50:res2.3x3*3", FORWARD)
    image = 64 * 56 * 56 * 4
    assert values[(*row, "peak_bytes")] >= 10 * image
    assert values[(*row, "operand_bytes")] == 2 * image + 64 * 64 * 9 * 4
    assert {r["reason"] for r in records} == {""}


@pytest.mark.parametrize(
    "sin, reason",
    [
        ("import os; os._exit(3)", "ended with exit status 3"),
        (
            "raise ZeroDivisionError('no luck')",
            "ended with exit status 1 ZeroDivisionError: no luck",
        ),
        ("import time; time.sleep(600)", "no end after 15 s"),
    ],
)
def test_a_backend_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sin: str, reason: str
) -> None:
    path = tmp_path / "sinning.py"
    path.write_text(f"def conv(*arrays, **params):\n    print('noise')\n    {sin}\n")
    if "sleep" in sin:
        monkeypatch.setattr(passes, "LIMIT_S", 15.0)
    records = passes._measured(Unit("memory", str(path), 1))
    assert [record["reason"] for record in records] == [reason]


def test_a_missing_kernel_is_said(tmp_path: Path) -> None:
    path = tmp_path / "partial.py"
    path.write_text("from impls.im2col import conv\n")
    records = passes._measured(Unit("threads", str(path), 1))
    reasons = {r["workload"]: r["reason"] for r in records if r["reason"]}
    assert "partial has no kernel max_pool" in reasons["resnet50:maxpool"]
    assert any(r["value"] for r in records)


def test_what_was_measured_is_kept_and_failures_are_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Unit] = []

    def measured(unit: Unit) -> list[dict[str, Any]]:
        asked.append(unit)
        if unit.name == "memory" and len(asked) < 20:
            return [passes._reason("ended with exit status 3")]
        one = record(unit.name, "seconds", 1.0)
        return [{name: one[name] for name in one if name not in ("pass", "backend", "threads")}]

    monkeypatch.setattr(passes, "_measured", measured)
    monkeypatch.setattr(passes, "thread_counts", lambda: (1, 2))
    said: list[str] = []
    passes.run(["im2col"], tmp_path, said.append, fresh=False)
    assert len(asked) == 2 * (len(PASSES) + 1)
    assert asked[0].spec == PYTORCH
    assert said[0] == "pass 1 of 12: first_call of PyTorch"
    asked.clear()
    passes.run(["im2col"], tmp_path, said.append, fresh=False)
    assert [unit.name for unit in asked] == ["memory", "memory"]
    kept = passes.load(tmp_path)
    assert kept is not None
    assert list(kept.columns) == list(COLUMNS)
    passes.run(["im2col"], tmp_path, said.append, fresh=True)
    assert len(asked) == 2 + 12


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / passes.FILE).write_text("a,b\n1,2\n")
    with pytest.raises(RunError, match=r"passes\.csv must be what"):
        passes.load(tmp_path)


def test_the_readers_guide_explains_every_column_and_pass() -> None:
    guide = (ROOT / "reports" / "README.md").read_text()
    names = {*COLUMNS, *PASSES}
    assert sorted(name for name in names if f"`{name}`" not in guide) == []
    assert "`passes.csv`" in guide
