"""Sittings: what was measured is kept whatever happens, and is not measured again."""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bench import duel, load, machine, report, runs, sitting, sources
from bench.__main__ import main
from bench.duel import Duels, Outcome, outcome
from bench.load import Load
from bench.machine import ROOT
from bench.plan import Plan, task_key
from bench.runs import Journal, Run
from bench.statistics import Verdict
from bench.stored import RunError
from bench.workloads import WORKLOADS
from bench.workloads.presets import PRESETS, Task
from impls.spec.ops import OPS

SMOKE = ["run", "--preset", "smoke", "--backend", "im2col"]
FACTS: dict[str, Any] = {
    "date": "2026-01-02", "cpu": "one", "cores": 2, "memory_gib": 8.0, "system": "Linux",
    "python": "3.11", "packages": {"torch": "2.13.0"}, "revision": "abc",
}  # fmt: skip
CEILINGS = {"gflops_per_s": 100.0, "gbytes_per_s": 20.0}


def samples(torch_ns: int = 2000, rounds: int = 15) -> list[dict[str, Any]]:
    """PyTorch takes twice as long as the backend, with a little noise that both share."""
    return [
        {"round": i, "position": p, "arm": arm, "calls": 1, "wall_ns": ns + i, "delay_ns": 0,
         "cpu_ns": ns + i}
        for i in range(rounds)
        for p, (arm, ns) in enumerate(
            [("backend", 1000), ("torch", torch_ns), ("twin", torch_ns)]
        )
    ]  # fmt: skip


def time(workload: str, peak: float = 100.0) -> dict[str, Any]:
    """The answer of a worker."""
    return {
        "workload": workload, "status": "timed", "reason": "", "samples": samples(),
        "peak_gflops_per_s": peak,
    }  # fmt: skip


def timed(spec: str, task: Task, threads: str, *_: Any) -> list[Outcome]:
    answer = time(task.workload)
    return [outcome(spec, task.direction, threads, answer)]


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that needs no time to be looked at."""
    monkeypatch.setattr(machine, "facts", lambda: dict(FACTS))
    monkeypatch.setattr(machine, "ceilings", lambda threads: CEILINGS)
    monkeypatch.setattr(load, "LOOK_S", 0.01)
    monkeypatch.setattr(report, "render", lambda directory: ())


@pytest.fixture
def asked(still: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the tasks that are measured, by a worker that needs no time."""
    names: list[str] = []

    def run(self: Duels, spec: str, task: Task, threads: str, *_: Any) -> list[Outcome]:
        names.append(f"{task.workload} {task.direction}")
        return timed(spec, task, threads)

    monkeypatch.setattr(duel.Duels, "run", run)
    return names


def test_a_finished_run_is_not_measured_again(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*SMOKE, "--select", "conv1", "--out", str(tmp_path)]
    assert main(line) == 0
    assert len(asked) == 3
    before = (tmp_path / "samples.csv").read_bytes()
    capsys.readouterr()
    assert main(line) == 0
    assert len(asked) == 3
    assert (tmp_path / "samples.csv").read_bytes() == before
    assert "3 of them are measured already; --fresh measures them again" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "benchmark.json").read_text())["benchmarks"]) == 3
    assert main([*line, "--fresh"]) == 0
    assert len(asked) == 6


def test_another_selection_adds_to_a_run(asked: list[str], tmp_path: Path) -> None:
    for select in ("fc", "relu1", "e"):  # the last one holds both, and more
        assert main([*SMOKE, "--select", select, "--out", str(tmp_path)]) == 0
    assert len(asked) == len(set(asked))
    run = runs.load(tmp_path)
    assert run is not None
    assert [f"{r['workload']} {r['direction']}" for r in run.rows] == asked
    assert len(runs.load_samples(tmp_path)) == len(asked) * len(samples())
    assert run.machine["sittings"] == 3


def test_the_ceilings_of_all_cores_are_measured_once_rows_need_them(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []

    def ceilings(threads: int) -> dict[str, float]:
        measured.append(threads)
        return CEILINGS

    monkeypatch.setattr(machine, "ceilings", ceilings)
    monkeypatch.setattr(machine, "cores", lambda: 5)
    line = [*SMOKE, "--out", str(tmp_path)]
    # Those of one thread also after each sitting; what an earlier sitting has measured is kept.
    for select, threads, expected in (
        ("conv1", "one", [1, 1]), ("conv1", "all", [5, 1]), ("fc", "one", [1]),
    ):  # fmt: skip
        measured.clear()
        assert main([*line, "--select", select, "--threads", threads]) == 0
        assert measured == expected
    run = runs.load(tmp_path)
    assert run is not None
    assert run.machine["ceilings_all_cores"] == CEILINGS


def test_an_interrupted_run_goes_on(
    asked: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = Duels.run

    def interrupted(self: Duels, *task: Any) -> list[Outcome]:
        if len(asked) == 2:
            raise KeyboardInterrupt
        return whole(self, *task)

    monkeypatch.setattr(duel.Duels, "run", interrupted)
    line = [*SMOKE, "--out", str(tmp_path)]
    assert main(line) == sitting.INTERRUPTED
    assert "not finished, 8 tasks are left. The same line goes on" in capsys.readouterr().out
    run = runs.load(tmp_path)
    assert run is not None
    assert len(run.rows) == 2
    monkeypatch.setattr(duel.Duels, "run", whole)
    assert main(line) == 0
    assert len(asked) == len(set(asked)) == 10
    assert not runs.is_unfinished(tmp_path)


KILLED = """
import os, signal
from pathlib import Path
from bench import duel, machine, load, test_sitting
from bench.__main__ import main

asked = []

def run(self, *task):
    asked.append(task)
    if len(asked) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return test_sitting.timed(*task)

duel.Duels.run = run
machine.ceilings = lambda threads: test_sitting.CEILINGS
machine.facts = lambda: dict(test_sitting.FACTS)
main([*test_sitting.SMOKE, "--out", {out!r}])
"""


def test_a_killed_run_goes_on(asked: list[str], tmp_path: Path) -> None:
    code = KILLED.format(out=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    # A kill in the midst of a line leaves a part of it.
    with (tmp_path / runs.JOURNAL).open("a") as file:
        file.write('{"outcomes": [{"row": {"backend": "im2col", "wor')
    assert main([*SMOKE, "--out", str(tmp_path)]) == 0
    assert len(asked) == 10 - 3


def test_a_line_of_the_journal_that_is_broken_is_told(asked: list[str], tmp_path: Path) -> None:
    with Journal(tmp_path, Run("smoke", {}, {}, [])) as journal:
        journal.append(timed("im2col", Task("simplecnn:fc", "forward"), "one"), {})
    text = journal.path.read_text()
    journal.path.write_text(text.replace('"outcomes"', '"outcomes', 1))
    with pytest.raises(RunError, match=r"journal\.jsonl must be what"):
        runs.load(tmp_path)


def test_an_invalid_row_is_measured_again(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*SMOKE, "--select", "conv1", "--out", str(tmp_path)]
    assert main(line) == 0
    run = runs.load(tmp_path)
    assert run is not None
    run.rows[1] |= {"verdict": "INVALID", "reason": "PyTorch differs from itself by 20%"}
    runs.store(run, runs.load_samples(tmp_path), tmp_path)
    assert main(line) == 0
    assert "1 rows were INVALID and are measured again" in capsys.readouterr().out
    assert asked[3:] == [asked[1]]
    again = runs.load(tmp_path)
    assert again is not None
    assert [row["verdict"] for row in again.rows] == ["FASTER"] * 3
    assert len(runs.load_samples(tmp_path)) == 3 * len(samples())


def test_changed_sources_are_measured_again(
    asked: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("from impls.im2col import *\n")
    line = ["run", "--preset", "smoke", "--backend", "im2col", "--backend", str(mine)]
    line += ["--select", "fc", "--out", str(tmp_path)]
    assert main(line) == 0
    mine.write_text("from impls.im2col import *  # edited\n")
    assert main(line) == 0
    assert "1 rows were of other sources and are measured again" in capsys.readouterr().out
    assert len(asked) == 3
    assert len(runs.load_samples(tmp_path)) == 2 * len(samples())


def test_an_unfinished_run_of_another_kind_is_refused_and_a_finished_one_replaced(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*SMOKE, "--select", "fc", "--out", str(tmp_path)]
    assert main(line) == 0
    run = runs.load(tmp_path)
    assert run is not None
    elsewhere = Run("smoke", {**run.machine, "cpu": "another"}, run.threads, run.rows, run.sources)
    runs.store(elsewhere, runs.load_samples(tmp_path), tmp_path)
    Journal(tmp_path, elsewhere).__exit__()
    before = (tmp_path / runs.RUN).read_bytes()
    with pytest.raises(SystemExit) as ended:
        main(line)
    assert ended.value.code == 2
    assert "holds an unfinished run of another machine or kind (cpu)" in capsys.readouterr().err
    assert (tmp_path / runs.RUN).read_bytes() == before
    runs.store(elsewhere, runs.load_samples(tmp_path), tmp_path)  # finishes it
    assert main(line) == 0
    assert "was of another kind (cpu): replaced" in capsys.readouterr().out
    assert len(asked) == 2


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: a write beyond fails as on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_full_disk_ends_the_run_and_loses_nothing(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*SMOKE, "--out", str(tmp_path)]
    with disk_of(20_000):
        assert main(line) == 2
    said = capsys.readouterr().out
    assert "journal.jsonl cannot be written: File too large; what it has is kept" in said
    run = runs.load(tmp_path)
    assert run is not None
    kept = len(run.rows)
    assert 1 < kept < 10
    assert len(runs.load_samples(tmp_path)) == kept * len(samples())
    with disk_of(3_000), pytest.raises(SystemExit) as ended:
        main(line)  # what is kept cannot be written anew either
    assert ended.value.code == 2
    assert "samples.csv cannot be written: File too large" in capsys.readouterr().err
    assert runs.load(tmp_path) == run
    assert main(line) == 0
    assert len(asked) <= 10 + 1  # the task that found the disk full is asked again
    assert not list(tmp_path.glob("*.part"))


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "performance.csv"
    path.write_text("old")
    with disk_of(100), pytest.raises(OSError, match=r"performance\.csv"):
        runs.replace(path, lambda beside: beside.write_text("new" * 100))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_of_an_earlier_sitting_still_fails(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Duels, spec: str, task: Task, threads: str, *_: Any) -> list[Outcome]:
        answer = {"workload": task.workload, "status": "failed", "reason": "wrong"}
        return [outcome(spec, task.direction, threads, answer)]

    line = [*SMOKE, "--select", "fc", "--out", str(tmp_path)]
    monkeypatch.setattr(duel.Duels, "run", fails)
    assert main(line) == 1
    assert main(line) == 1


def test_options_of_pytest_benchmark_reach_it_and_others_are_refused(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*SMOKE, "--select", "fc", "--out", str(tmp_path)]
    assert main([*line, f"--benchmark-storage={tmp_path / 'kept'}", "--benchmark-save=first"]) == 0
    assert list((tmp_path / "kept").rglob("*_first.json"))
    with pytest.raises(SystemExit):
        main([*line, "--benchmrk-save=first"])
    assert "unrecognized arguments: --benchmrk-save=first" in capsys.readouterr().err


def test_pytest_benchmark_reads_what_a_run_stored(asked: list[str], tmp_path: Path) -> None:
    """Its compare, its CSV and its histogram, from the JSON alone."""
    assert main([*SMOKE, "--select", "fc", "--out", str(tmp_path)]) == 0
    (kept,) = json.loads((tmp_path / "benchmark.json").read_text())["benchmarks"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", str(tmp_path / "benchmark.json"),
         "--columns=median", f"--csv={tmp_path / 'compared.csv'}",
         f"--histogram={tmp_path / 'drawn'}"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert kept["group"] == "simplecnn:fc forward one"
    assert "1 tests" in done.stdout
    assert "simplecnn:fc-forward-one" in (tmp_path / "compared.csv").read_text()
    (drawn,) = tmp_path.glob("drawn*.svg")
    assert "<svg" in drawn.read_text()


def test_disabled_every_arm_runs_once_and_nothing_is_kept(asked: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = [*SMOKE, "--select", "fc", "--out", str(out), "--benchmark-disable"]
    assert main(line) == 0
    assert len(asked) == 1
    assert not out.exists()


def test_processes_of_a_row_are_laps_apart_and_an_interrupted_lap_goes_on(
    still: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(PRESETS, "smoke", replace(PRESETS["smoke"], processes=(3, 4)))
    monkeypatch.setattr(duel, "SURE", -1.0)
    processes: list[tuple[str, str, int]] = []
    last = 8

    def ask(self: Duels, spec: str, task: Task, threads: str, process: int, *_: Any) -> Any:
        if len(processes) == last:
            raise KeyboardInterrupt
        processes.append((spec, task.direction, process))
        return [time(task.workload, peak=100.0 + 10 * process)]

    monkeypatch.setattr(Duels, "_ask", ask)
    line = ["run", "--backend", "im2col", "--backend", "loop", "--select", "conv1"]
    line += ["--preset", "smoke", "--out", str(tmp_path)]
    assert main(line) == sitting.INTERRUPTED
    found = runs.load(tmp_path)
    assert found is not None
    assert sorted(row["processes"] for row in found.rows) == [1, 1, 1, 1, 2, 2]
    assert len(runs.load_samples(tmp_path)) == 8 * len(samples())
    last = -1
    assert main(line) == 0
    assert "6 have had some of 3 laps, and go on" in capsys.readouterr().out
    rows = [(spec, d) for spec in ("im2col", "loop") for d in OPS["conv2d"].directions[:3]]
    assert processes[:12] == [(*row, lap) for lap in (0, 1) for row in rows]
    assert processes[12:] == [(*row, process) for row in rows for process in (2, 3)]
    found = runs.load(tmp_path)
    assert found is not None
    assert [row["processes"] for row in found.rows] == [4] * 6
    assert [row["peak_gflops_per_s"] for row in found.rows] == [pytest.approx(115.0)] * 6
    assert len(runs.load_samples(tmp_path)) == 24 * len(samples())
    assert len(json.loads((tmp_path / "benchmark.json").read_text())["benchmarks"]) == 6


def test_progress_says_the_mean_so_far_and_the_time_left(asked: list[str]) -> None:
    plan = Plan(backends=["im2col"], select="conv1")
    tasks = plan.tasks()
    plan.run(Duels(plan.preset, once=False), *_order(tasks[0]))
    assert plan.progress("im2col") == "im2col so far 2x, 0 s left"
    for task in tasks[1:]:
        plan.run(Duels(plan.preset, once=False), *_order(task))
    assert plan.progress("im2col") == "im2col so far 2x"


def test_rows_that_say_all_words_are_selected() -> None:
    def names(select: str) -> list[str]:
        plan = Plan(
            preset=PRESETS["full"], backends=["im2col"], threads=("one",), select=select
        )  # fmt: skip
        return [f"{task.workload} {task.direction}" for _, _, task in plan.tasks()]

    assert names("resnet50: grad_weight res2.3x3 batch=8") == ["resnet50:res2.3x3*3/n8 grad_weight"]
    dense = [w.name for w in WORKLOADS.values() if w.network == "mobilenetv2" and w.is_dense]
    assert dense
    assert names("mobilenetv2: dense batch=1 forward") == [f"{name} forward" for name in dense]
    assert names("mobilenetv2: dense depthwise") == names("resnet50:res2 max_pool2d") == []


def test_progress_counts_what_is_selected_alone(asked: list[str]) -> None:
    """What an interrupted run has begun elsewhere neither goes on nor shortens what is left."""
    plan = Plan(backends=["im2col"], select="conv1")
    every = Plan(backends=["im2col"])
    plan.started = {task_key(*each): timed(*_order(each)) for each in every.tasks()}
    assert plan.begun() == 3
    plan.done = {task_key(*each): timed(*_order(each)) for each in Plan().tasks()}
    assert plan.progress("im2col") == "im2col so far 2x"
    plan.done, first = {}, plan.tasks()[0]
    plan.started = {key: each for key, each in plan.started.items() if "conv1" not in key[1]}
    plan.run(Duels(plan.preset, once=False), *_order(first))
    assert (plan.begun(), plan.left()) == (0, 2)
    assert plan.progress("im2col") == "im2col so far 2x, 0 s left"


def _order(asked: tuple[str, str, Task]) -> tuple[str, Task, str]:
    spec, threads, task = asked
    return spec, task, threads


def test_a_skipped_row_is_done_with_its_shrunk_twin(tmp_path: Path) -> None:
    skip = {"workload": "resnet50:conv1", "status": "skipped", "reason": "slow"}
    answers = (skip, time("resnet50:conv1@1/4"))
    found = [outcome("loop", "forward", "one", answer) for answer in answers]
    run = Run("quick", {}, {}, [asdict(o.row) for o in found])
    runs.store(run, runs.frame(found), tmp_path)
    loaded = runs.load(tmp_path)
    assert loaded is not None
    done, started = sitting._done(loaded, runs.load_samples(tmp_path), laps=1)
    whole, twin = (("loop", o.row.workload, "forward", "one") for o in found)
    assert done == {whole: found, twin: found[1:]}  # the twin may be asked for by its own name
    assert started == {}
    assert sitting._done(loaded, runs.load_samples(tmp_path), laps=2) == ({}, done)
    assert found[0].row.verdict == Verdict.SKIPPED
    loaded.rows[1] |= {"verdict": "INVALID"}
    assert sitting._done(loaded, runs.load_samples(tmp_path), laps=1) == ({}, {})


def test_every_measuring_source_counts() -> None:
    assert all((ROOT / name).exists() for name in sources.MEASURING)
    assert sources.digest("im2col") == sources.digest("numba")
    assert sources.digest("bench/peers/pytorch.py") != sources.digest("im2col")
    assert sources.digest("json") != sources.digest("im2col")


def test_a_busy_neighbor_is_told() -> None:
    watch = Load()
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        burner.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        assert watch.facts()["others_cores"] > 0
    finally:
        burner.kill()
        burner.wait()


def test_a_busy_machine_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Load()
    monkeypatch.setattr(Load, "facts", lambda self: {"others_cores": 1.25, "steal_share": 0.1})
    word = watch.word()
    assert "a busy machine: 1.2 of " in word
    assert "10% of the time to other guests of the host" in word
    monkeypatch.setattr(Load, "facts", lambda self: {"others_cores": 0.1, "steal_share": 0.0})
    assert watch.word() == ""


def test_a_page_of_an_unfinished_run_renders(tmp_path: Path) -> None:
    header = Run("smoke", {**FACTS, "ceilings_before": CEILINGS}, {}, [])
    with Journal(tmp_path, header) as journal:
        journal.append(timed("im2col", Task("simplecnn:fc", "forward"), "one"), {})
    assert {path.name for path in report.render(tmp_path)} >= {"index.html", "performance.csv"}
