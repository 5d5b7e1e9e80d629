"""Dense convolutions: means over believable rows, and shares of the peak that was measured."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench import dense, report
from bench.machine import ROOT
from bench.row import Row
from bench.runs import Run, frame, store
from bench.test_report import MACHINE, row, sampled
from bench.workloads import find

FACTS = {"ceilings_before": {"gflops_per_s": 100.0}}


def line(workload: str, ratio: float, gflops_per_s: float) -> dict[str, Any]:
    """A row of forward, whose backend takes 4 ms."""
    return {
        **asdict(row("numba", "forward", "FASTER", ratio)),
        "workload": workload, "network": workload.partition(":")[0], "op": find(workload).op,
        "batch": find(workload).batch, "gflops_per_s": gflops_per_s,
        "time_median_s": 0.004, "torch_median_s": 0.004 * ratio,
    }  # fmt: skip


RES2, RES3, RES5 = "resnet50:res2.3x3*3", "resnet50:res3.3x3s2", "resnet50:res5.3x3*2"
LINES = [
    line(RES2, 2.0, 50.0),
    line(RES3, 0.5, 40.0),
    line(RES5, 1.0, 64.0),
    line("vgg16:conv3_2*2", 8.0, 80.0),
    {**line("vgg16:conv1_1", 1e6, 99.0), "verdict": "INVALID"},
    {**line("resnet50:conv1", 1e6, 99.0), "verdict": "SKIPPED", "ratio": None},
    line("mobilenetv2:block8.depthwise*4", 1e6, 99.0),
    line("resnet50:relu1", 1e6, 99.0),
]


def tables(*lines: dict[str, Any], facts: dict[str, Any] = FACTS) -> dict[str, pd.DataFrame]:
    return dense.tables(pd.DataFrame(lines), facts)


def test_means_are_geometric_and_of_believable_dense_rows() -> None:
    (found,) = tables(*LINES)["summary"].to_dict("records")
    assert found == {
        "backend": "numba", "threads": "one", "batch": 1, "op": "conv2d", "direction": "forward",
        # (2 * 1/2 * 1 * 8) ** (1/4) and (50 * 40 * 64 * 80) ** (1/4) of 100.
        "rows": 4, "ratio": "1.68x", "slowest layer": f"{RES3} 0.5x",
        "share of peak": "56.6 %", "PyTorch's share": "33.6 %",
    }  # fmt: skip


def test_a_network_has_a_line_of_its_own_from_three_rows_on() -> None:
    (found,) = tables(*LINES)["networks"].to_dict("records")
    assert (found["network"], found["rows"], found["ratio"]) == ("resnet50", 3, "1x")
    # (50 * 40 * 64) ** (1/3).
    assert found["share of peak"] == "50.4 %"
    assert "networks" not in tables(*LINES[1:])
    assert "networks" not in tables(*LINES[:3])  # the summary says the same


def test_each_layer_has_its_ratio_and_shares() -> None:
    other = {**LINES[0], "backend": "loop", "gflops_per_s": 0.5, "flags": "drift"}
    found = tables(*LINES, other)["layers"]
    assert list(found["workload"]) == [RES2, RES2, RES3, RES5, "vgg16:conv3_2*2", "vgg16:conv1_1"]
    numba, loop, *_, invalid = found.to_dict("records")
    assert numba == {
        "workload": RES2, "direction": "forward", "threads": "one", "backend": "numba",
        "ratio": "2x ▲ [1.8, 2.2]", "GFLOP/s": "50", "share of peak": "50 %",
        "PyTorch's share": "25 %",
    }  # fmt: skip
    assert (loop["backend"], loop["share of peak"]) == ("loop", "0.5 %")
    assert loop["ratio"].endswith(" ⚑")
    assert " ! " in invalid["ratio"]


def test_what_differs_in_anything_is_not_averaged() -> None:
    others = [
        {**LINES[0], "backend": "loop"},
        {**LINES[0], "direction": "grad_input"},
        {**LINES[0], "threads": "all"},
        line(f"{RES2}/n8", 2.0, 50.0),
        line("dcgan:conv4", 2.0, 50.0),
    ]
    found = tables(LINES[0], *others)["summary"]
    assert list(found["rows"]) == [1] * 6


def test_rows_on_all_cores_have_the_peak_of_all_cores() -> None:
    rows = [LINES[0], {**LINES[0], "threads": "all"}]
    peaks = {**FACTS, "ceilings_all_cores": {"gflops_per_s": 160.0}}
    assert list(tables(*rows, facts=peaks)["summary"]["share of peak"]) == ["50 %", "31.2 %"]
    old = tables(*rows)
    for table in (old["summary"], old["layers"]):
        assert list(table["share of peak"]) == ["50 %", ""]
        assert list(table["PyTorch's share"]) == ["25 %", ""]
    assert list(old["summary"]["ratio"]) == ["2x", "2x"]


def test_a_share_is_of_the_peak_beside_the_row_if_it_was_measured() -> None:
    beside = {**LINES[0], "peak_gflops_per_s": 80.0}
    found = tables(beside, LINES[1])["layers"]
    assert list(found["share of peak"]) == ["62.5 %", "40 %"]
    assert list(found["PyTorch's share"]) == ["31.2 %", "80 %"]


def test_a_workload_that_is_no_more_is_left_out() -> None:
    assert list(tables(LINES[0], {**LINES[1], "workload": "lenet:c1"})["summary"]["rows"]) == [1]


def test_without_dense_rows_there_is_nothing() -> None:
    assert tables(*LINES[-3:]) == {}
    assert dense.tables(report.performance(report.NOTHING, pd.DataFrame()), {}) == {}
    assert set(tables(LINES[4])) == {"layers"}  # INVALID alone


def test_the_readers_guide_explains_every_column() -> None:
    guide = (ROOT / "reports" / "README.md").read_text()
    columns = {name for table in tables(*LINES).values() for name in table.columns}
    assert sorted(name for name in columns if f"`{name}`" not in guide) == []


def rendered(rows: list[Row], directory: Path) -> list[str]:
    run = Run("quick", MACHINE, {}, [asdict(r) for r in rows])
    store(run, frame(sampled(rows)), directory)
    list(report.render(directory))
    return [(directory / name).read_text() for name in ("index.html", "report.md")]


@pytest.mark.parametrize(("workload", "shown"), [("resnet50:conv1", 1), ("resnet50:relu1", 0)])
def test_the_pages_have_the_section_where_there_are_dense_rows(
    workload: str, shown: int, tmp_path: Path
) -> None:
    changed = {**asdict(row("numba", "forward", "FASTER", 2.0)), "workload": workload}
    for page in rendered([Row(**changed)], tmp_path):
        assert page.count("Share of peak, dense layers") == shown
        # 2 * 118013952 / 4 ms / 1e9 of 100; PyTorch takes 8 ms.
        assert page.count("59 %") == page.count("29.5 %") == 2 * shown
