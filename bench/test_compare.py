"""Compare: what got slower or wrong is found, by ratios alone; what did not is left in peace."""

import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import change, compare, runs, sides
from bench.__main__ import main
from bench.duel import Duels, Outcome, outcome
from bench.machine import ROOT
from bench.plan import Plan
from bench.runs import Run
from bench.stored import RunError
from bench.workloads.presets import Task

TASKS = [Task("simplecnn:fc", "forward"), Task("resnet50:relu1@1/4", "forward")]
TIMED = {"status": "timed", "reason": "", "peak_gflops_per_s": 100.0}
IM2COL = ["--preset", "smoke", "--backend", "im2col", "--select"]

Samples = list[dict[str, Any]]


def samples(backend_ns: float, *, processes: int, seed: int, machine: float) -> Samples:
    """Times of PyTorch 1 ms; noise of rounds and of processes; a machine of some slowness."""
    rng = np.random.default_rng(seed)
    arms = {"backend": backend_ns, "torch": 1e6, "twin": 1e6}
    found = []
    for process in range(processes):
        bias = {arm: rng.normal(0, 0.005) for arm in arms}
        for number in range(15):
            for position, (arm, ns) in enumerate(arms.items()):
                spent = round(machine * ns * np.exp(bias[arm] + rng.normal(0, 0.01)))
                found.append({
                    "process": process, "round": number, "position": position, "arm": arm,
                    "calls": 1, "wall_ns": spent, "cpu_ns": spent, "delay_ns": 0,
                })  # fmt: skip
    return found


def timed(task: Task, backend_ns: float, **noise: Any) -> Outcome:
    answer = {"workload": task.workload, **TIMED}
    (first, *others) = _by_process(samples(backend_ns, **noise))
    found = outcome("im2col", task.direction, "one", {**answer, "samples": first})
    return Outcome(found.row, [sample for process in (first, *others) for sample in process])


def _by_process(found: Samples) -> list[Samples]:
    numbers = sorted({sample["process"] for sample in found})
    return [[sample for sample in found if sample["process"] == n] for n in numbers]


def stored(directory: Path, times: dict[Task, float], *, seed: int, machine: float = 1.0) -> str:
    found = [
        timed(task, ns, processes=3, seed=seed + i, machine=machine)
        for i, (task, ns) in enumerate(times.items())
    ]
    run = Run("smoke", {}, {}, [asdict(one.row) for one in found])
    runs.store(run, runs.frame(found), directory)
    return str(directory)


@pytest.mark.parametrize(
    "factor, verdict",
    [(1.0, "SAME"), (1.5, "SLOWER"), (1 / 1.5, "FASTER"), (1.06, "UNDECIDED")],
)
def test_a_stored_run_is_judged_beside_another(tmp_path: Path, factor: float, verdict: str) -> None:
    """A machine of half the speed changes nothing: only ratios count."""
    same, changed = TASKS
    old = stored(tmp_path / "old", {same: 2e6, changed: 3e6}, seed=1)
    new = stored(tmp_path / "new", {same: 2e6, changed: 3e6 * factor}, seed=2, machine=2.0)
    found = compare.of_stored(old, new)
    verdicts = dict(zip(found.table["workload"], found.table["verdict"], strict=True))
    assert verdicts[changed.workload] == verdict
    assert verdicts[same.workload] != "SLOWER"
    (line,) = found.table[found.table["workload"] == changed.workload].to_dict("records")
    assert line["change_low"] < 1 / factor < line["change_high"]
    assert (main(["compare", old, new, "--out", str(tmp_path / "out")]) == 1) == (factor == 1.5)
    text = (tmp_path / "out" / "compare.md").read_text()
    assert ("**No regression is confirmed in 2 rows.**" in text) == (factor != 1.5)
    assert len(pd.read_csv(tmp_path / "out" / "compare.csv")) == 2


def test_noise_between_runs_is_no_claim() -> None:
    """Two runs whose samples agree to 0.1 % each, and differ by what runs differ by."""
    rng = np.random.default_rng(0)
    old = [rng.normal(0.0, 0.001, 15) for _ in range(3)]
    new = [rng.normal(-0.07, 0.001, 15) for _ in range(3)]
    (found,) = change.judged([change.of_runs(old, new, "one")])
    assert found[0] == "UNDECIDED"
    further = [rounds - 0.10 for rounds in new]
    (found,) = change.judged([change.of_runs(old, further, "one")])
    assert found[0] == "SLOWER"


def test_runs_without_common_rows_are_refused(tmp_path: Path) -> None:
    old = stored(tmp_path / "old", {TASKS[0]: 1e6}, seed=1)
    new = stored(tmp_path / "new", {TASKS[1]: 1e6}, seed=2)
    with pytest.raises(RunError, match="must have rows in common"):
        compare.of_stored(old, new)


def test_a_run_and_a_revision_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["compare", stored(tmp_path, {TASKS[0]: 1e6}, seed=1), "HEAD"])
    assert "must both be stored runs, or both revisions" in capsys.readouterr().err


Finds = Callable[[str, int, Task], dict[str, Any]]


@pytest.fixture
def revisions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Finds], list[str]]:
    """Two checkouts whose workers find what a function says; the order in which they were asked."""
    for side in sides.SIDES:
        (tmp_path / side / "impls").mkdir(parents=True)

    def install(finds: Finds) -> list[str]:
        order: list[str] = []

        def run(self: Duels, spec: str, task: Task, threads: str) -> list[Outcome]:
            side = (self.root / "impls").resolve().parent.name
            order.append(side)
            answer = {"workload": task.workload, **TIMED}
            answer |= finds(side, len(order), task)
            return [outcome("im2col", task.direction, threads, answer)]

        monkeypatch.setattr(Duels, "run", run)
        monkeypatch.chdir(tmp_path)
        return order

    return install


def test_revisions_take_turns_and_a_regression_is_timed_twice(
    revisions: Callable[[Finds], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    def finds(side: str, turn: int, task: Task) -> dict[str, Any]:
        ns = 2e6 * (1.3 if side == "new" else 1.0)
        return {"samples": samples(ns, processes=1, seed=turn, machine=1.0)}

    order = revisions(finds)
    assert main(["compare", "old", "new", *IM2COL, "fc"]) == 1
    assert order == 2 * (3 * ["old", "new", "new", "old"])
    said = capsys.readouterr().out
    assert "1 rows seem slower: timing them again, to be sure" in said
    assert "**1 of 1 rows got worse.** Changes: 1 SLOWER." in said
    assert "bench: wrote reports/compare/compare.md" in said
    assert len(pd.read_csv("reports/compare/samples.csv")) == 24 * 45


def test_what_is_slower_once_only_is_no_regression(
    revisions: Callable[[Finds], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    def finds(side: str, turn: int, task: Task) -> dict[str, Any]:
        ns = 2e6 * (1.3 if side == "new" and turn <= 12 else 1.0)
        return {"samples": samples(ns, processes=1, seed=turn, machine=1.0)}

    revisions(finds)
    assert main(["compare", "old", "new", *IM2COL, "fc"]) == 0
    assert "slower at first, SAME when timed again" in capsys.readouterr().out


def test_equal_revisions_are_the_same(revisions: Callable[[Finds], list[str]]) -> None:
    order = revisions(
        lambda side, turn, task: {"samples": samples(2e6, processes=1, seed=turn, machine=1.0)}
    )
    assert main(["compare", "old", "new", *IM2COL, "fc"]) == 0
    assert len(order) == 12


def test_what_became_wrong_is_a_regression(
    revisions: Callable[[Finds], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    def finds(side: str, turn: int, task: Task) -> dict[str, Any]:
        if side == "new" and turn == 3:  # once is enough
            return {"status": "failed", "reason": "forward[0]=1, but should be 2"}
        return {"samples": samples(2e6, processes=1, seed=turn, machine=1.0)}

    revisions(finds)
    assert main(["compare", "old", "new", *IM2COL, "fc"]) == 1
    said = capsys.readouterr().out
    assert "✗ FAILED" in said
    assert "| forward[0]=1, but should be 2 |" in said


def test_a_side_is_its_sources_under_the_present_harness(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    (repository / "impls").mkdir(parents=True)
    (repository / "impls" / "mine.py").write_text("VERSION = 1\n")
    (repository / "bench").mkdir()
    (repository / "bench" / "old.py").write_text("")
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)
    (repository / "impls" / "mine.py").write_text("VERSION = 2\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sides, "ROOT", repository)
        with sides.staged("HEAD") as root:
            assert (root / "impls" / "mine.py").read_text() == "VERSION = 1\n"
            assert (root / "bench").resolve() == repository / "bench"
        assert not root.exists()
        with sides.staged(str(repository)) as root:
            assert (root / "impls" / "mine.py").read_text() == "VERSION = 2\n"
        with pytest.raises(RunError, match="no_such must be a stored run, a checkout"):
            sides.staged("no_such").__enter__()


def test_a_file_of_the_repository_is_each_sides_own(tmp_path: Path) -> None:
    own = tmp_path / "bench" / "peers" / "pytorch.py"
    own.parent.mkdir(parents=True)
    own.write_text("")
    assert sides._own(str(ROOT / "bench/peers/pytorch.py"), tmp_path) == str(own)
    assert sides._own(str(ROOT / "impls/im2col.py"), tmp_path) == str(ROOT / "impls/im2col.py")
    assert sides._own("im2col", tmp_path) == "im2col"


def test_the_tasks_of_a_twin_are_found_again() -> None:
    plan = Plan(backends=["loop"], select="simplecnn:conv1 forward")
    keys = {("loop", "simplecnn:conv1@1/4", "forward", "one")}
    assert [compare._has_row_of(task, keys) for task in plan.tasks()] == [True]
    assert not compare._has_row_of(("numba", "one", TASKS[0]), keys)
