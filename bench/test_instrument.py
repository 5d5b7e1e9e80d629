"""The test of the harness: its decoy, its figures, and what it would say of a harness that errs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy import ndarray

import impls
from bench import instrument, machine
from bench.duel import Duels
from bench.instrument import KINDS, Trial, broken_promises, figures
from bench.peers.by_image import by_image
from bench.stored import RunError
from bench.workloads import find
from bench.workloads.presets import ONE_THREAD, PRESETS, Task


def trial(
    verdict: str, ratio: float | None = 1.0, truth: float = 1.0, load: str = "quiet"
) -> Trial:
    return Trial(load, "im2col", "w forward", truth, ratio, ratio, ratio, verdict, "")


@pytest.mark.parametrize("extra, calls", [(0.0, 20), (0.05, 21), (0.5, 30)])
def test_the_decoy_does_more_of_the_same_work(extra: float, calls: int) -> None:
    seen: list[tuple[ndarray, ...]] = []

    def kernel(*arrays: ndarray, step: int) -> ndarray:
        seen.append(arrays)
        return arrays[0] * step

    images, others, weight = np.arange(40.0).reshape(20, 2), np.ones((20, 3)), np.ones(7)
    result = by_image(kernel, 2, extra)(images, others, weight, step=3)
    assert np.array_equal(result, 3 * images)
    assert [tuple(a.shape for a in arrays) for arrays in seen] == [((1, 2), (1, 3), (7,))] * calls


@pytest.mark.parametrize("name", KINDS)
def test_every_pair_runs_every_task(name: str) -> None:
    for pair in KINDS[name].pairs:
        for spec in pair:
            backend = impls.get(spec)
            for task in KINDS[name].tasks:
                workload = find(task.workload)
                assert task.direction in workload.directions
                assert callable(getattr(backend, workload.op))
                if name == "sensitivity":
                    assert workload.batch == 20


def test_the_reference_stands_in_pytorchs_place(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(
        "def conv(*arrays, **params):\n    raise ZeroDivisionError('in the reference')\n"
    )
    preset = replace(PRESETS["smoke"], processes=(1, 1), call_cap_s=60.0)
    duels = Duels(preset, once=False, reference=str(path))
    try:
        (outcome,) = duels.run("im2col", Task("simplecnn:conv1@1/4", "forward"), ONE_THREAD)
    finally:
        duels.close()
    assert "ZeroDivisionError: in the reference" in outcome.row.reason


def test_burners_burn_and_end() -> None:
    before = set(psutil.Process().children())  # earlier tests may have left helpers of Python's own
    with instrument.burners(2):
        burning = set(psutil.Process().children()) - before
        assert len(burning) == 2
    assert not any(process.is_running() for process in burning)


def test_figures_count_verdicts_and_errors() -> None:
    trials = [
        trial("SAME", 1.001), trial("SAME", 0.99), trial("UNDECIDED", 1.03), trial("FASTER", 1.2),
        trial("INVALID", 9.0),
    ]  # fmt: skip
    found = figures(trials, KINDS["aa"].right)
    assert (found.trials, found.right, found.wrong) == (5, 0.4, 0.2)
    assert found.verdicts == {"SAME": 2, "UNDECIDED": 1, "FASTER": 1, "INVALID": 1}
    assert found.error_median == pytest.approx(0.02)
    assert found.error_max == pytest.approx(0.2)


SLOWER = 1 / 1.05


@pytest.mark.parametrize(
    "name, load, trials, broken",
    [
        ("aa", "quiet", [trial("SAME")] * 19 + [trial("FASTER")], []),
        ("aa", "quiet", [trial("SAME")] * 18 + [trial("FASTER")] * 2, ["wrong"]),
        ("aa", "quiet", [trial("UNDECIDED", 1.02)] * 20, ["ratios"]),
        ("aa", "busy", [trial("SAME")] * 19 + [trial("FASTER")], ["wrong"]),
        ("aa", "busy", [trial("INVALID", 3.0)] * 20, []),
        ("sensitivity", "quiet", [trial("SLOWER", SLOWER, SLOWER)] * 10, []),
        ("sensitivity", "quiet", [trial("UNDECIDED", SLOWER, SLOWER)] * 10, ["found"]),
        ("sensitivity", "quiet", [trial("SAME", SLOWER, SLOWER)] * 10, ["wrong", "found"]),
        ("sensitivity", "busy", [trial("UNDECIDED", 0.8, SLOWER)] * 10, []),
        ("sensitivity", "busy", [trial("SAME", SLOWER, SLOWER)] * 10, ["wrong"]),
    ],
)
def test_a_harness_that_errs_breaks_its_promises(
    name: str, load: str, trials: list[Trial], broken: list[str]
) -> None:
    found = broken_promises(name, load, figures(trials, KINDS[name].right))
    assert len(found) == len(broken)
    assert all(word in promise for word, promise in zip(broken, found, strict=True))


def test_the_latest_session_of_each_kind_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"date": "2026-01-02T03:04", "cpu": "a processor", "cores": 2, "revision": "abc"}
    monkeypatch.setattr(machine, "facts", lambda: {**facts, "python": "3.11"})
    assert instrument.sentences(tmp_path) == []
    instrument.keep("aa", [trial("FASTER", 1.2)], tmp_path)
    instrument.keep("sensitivity", [trial("SLOWER", SLOWER, SLOWER)], tmp_path)
    instrument.keep("aa", [trial("SAME", 1.001), trial("INVALID", load="busy")], tmp_path)
    when = "2026-01-02, a processor, 2 cores"
    assert instrument.sentences(tmp_path) == [
        (when, "A backend beside itself: of 1 verdicts none wrong (1 SAME); ratios off by 0.1% at"
               " the median, 0.1% at most"),
        (when, "A backend beside itself, all cores kept busy by others: of 1 verdicts none wrong"
               " (1 INVALID); no ratio was valid"),
        (when, "A backend that does 5 % more work, found in 100%: of 1 verdicts none wrong"
               " (1 SLOWER); ratios off by 0.0% at the median, 0.0% at most"),
    ]  # fmt: skip


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / instrument.FILE).write_text("{")
    with pytest.raises(RunError, match="must be"):
        instrument.sentences(tmp_path)
