"""Passports become tables and a plot of the report."""

from pathlib import Path

import pandas as pd
import pytest

from bench import report
from bench.machine import ROOT
from conformance.passport import Passport, Rung, write

PASSPORTS = [
    Passport("numba", "linear", "forward", "float32", 0.44, 0.7, "float32", "fused"),
    Passport("pytorch", "linear", "forward", "float32", 0.1, 0.5, "float64", "kept"),
    Passport("numba", "avg_pool2d", "forward", "float32", 0.45, 0.6, "float32", ""),
]
RUNGS = [
    Rung(p.backend, p.op, p.direction, p.dtype, terms, 4, 0.2, 0.5, 0.6)
    for p in PASSPORTS
    for terms in (4, 16, 64)
]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    write(tmp_path / "passport.csv", Passport, PASSPORTS)
    write(tmp_path / "passport_ladder.csv", Rung, RUNGS)
    return tmp_path


def test_passports_alone_make_a_page(stored: Path) -> None:
    names = {path.name for path in report.render(stored)}
    assert {"index.html", "passport.svg"} <= names
    text = (stored / "report.md").read_text()
    assert "n^0.44, 0.70, float32, fused" in text
    assert "n^0.45, 0.60, float32  " in text
    page = (stored / "index.html").read_text()
    assert "n^0.10, 0.50, float64, kept" in page
    assert page.count("<svg") == 1


def test_a_foreign_passport_is_refused(stored: Path) -> None:
    (stored / "passport.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"must be what `python -m conformance\.passport` wrote"):
        list(report.render(stored))


def test_the_readers_guide_explains_every_column(stored: Path) -> None:
    guide = (ROOT / "reports" / "README.md").read_text()
    files = ("passport.csv", "passport_ladder.csv")
    columns = [name for file in files for name in pd.read_csv(stored / file).columns]
    assert [name for name in columns if f"`{name}`" not in guide] == []
