"""Plan: what one run times, what is done already, and how far it is.

A row's processes do not follow each other: in a lap every row of every backend is timed in one, and
so many laps are made as a row has processes at least. What others do on a machine lasts minutes
(measured: in one minute PyTorch's relu took 0.38 ms and numba's 0.41, in another 0.62 and 0.40):
three processes in ten seconds would agree on the ratio of that minute.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp, log
from time import monotonic

import pytest

import impls
from bench.duel import Duels, Outcome, label
from bench.runs import Key
from bench.statistics import RATED
from bench.workloads import find
from bench.workloads.presets import PRESETS, Preset, Task

Keep = Callable[[list[Outcome], dict[str, dict[str, int]]], None]


def _keep_nothing(outcomes: list[Outcome], threads: dict[str, dict[str, int]]) -> None:
    pass


@dataclass(slots=True)
class Plan:
    """A preset over backends, task by task.

    select: words of which a task must say all (see `said`), or any one task by its full name.
    done: outcomes by their tasks' keys, also of earlier sittings; they are not measured again.
    started: those of tasks that have not had all laps.
    keep: is given each task's outcomes as soon as they are measured, and the proofs of threads.
    """

    preset: Preset = PRESETS["smoke"]
    backends: list[str] = field(default_factory=impls.names)
    threads: tuple[str, ...] = ()
    select: str = ""
    done: dict[Key, list[Outcome]] = field(default_factory=dict)
    started: dict[Key, list[Outcome]] = field(default_factory=dict)
    keep: Keep = _keep_nothing
    _measured: int = 0
    _spent_s: float = 0.0
    _tasks: list[tuple[str, str, Task]] = field(default_factory=list)

    @property
    def laps(self) -> int:
        """How often a run comes to every row."""
        return self.preset.processes[0]

    def tasks(self) -> list[tuple[str, str, Task]]:
        """(backend, threads, task), backend by backend: one is asked at a time."""
        if not self._tasks:  # of the full preset it takes 0.7 s, and progress asks at every row
            selected = self._selected()
            self._tasks = [
                (spec, threads, task)
                for spec in self.backends
                for threads in self.threads or self.preset.threads
                for task in selected
            ]
        return self._tasks

    def left(self) -> int:
        """How many tasks are still to be measured."""
        return sum(task_key(*asked) not in self.done for asked in self.tasks())

    def begun(self) -> int:
        """How many of them have had some laps."""
        return sum(task_key(*asked) in self.started for asked in self.tasks())

    def run(
        self, duels: Duels, spec: str, task: Task, threads: str, lap: int | None = None
    ) -> list[Outcome]:
        """A task's outcomes: those of an earlier sitting, or measured now and kept.

        lap: the first is 1; until then one process was asked a lap. None: the last one, after which
        the task is done.
        """
        key = task_key(spec, threads, task)
        if key in self.done:
            return self.done[key]
        earlier = self.started.get(key, [])
        if lap and _processes(earlier) >= lap:
            return earlier
        start = monotonic()
        outcomes = duels.run(spec, task, threads, earlier, lap)
        self._spent_s += monotonic() - start
        self._measured += 1
        self.keep(outcomes, duels.proofs)
        self.started.pop(key, None)
        has_more = lap and _processes(outcomes)
        (self.started if has_more else self.done)[key] = outcomes
        return outcomes

    def progress(self, spec: str) -> str:
        """The backend's mean ratio so far, and the time that is left."""
        logs, laps_left = [], 0
        for key in (task_key(*asked) for asked in self.tasks()):
            outcomes = self.done.get(key) or self.started.get(key, [])
            if key not in self.done:
                laps_left += self.laps - _processes(outcomes)
            for row in (outcome.row for outcome in outcomes):
                if row.backend == label(spec) and row.ratio is not None and row.verdict in RATED:
                    logs.append(log(row.ratio))
        said = [f"{label(spec)} so far {exp(sum(logs) / len(logs)):.2g}x"] if logs else []
        if laps_left and self._measured:
            said.append(f"{duration(laps_left * self._spent_s / self._measured)} left")
        return ", ".join(said)

    def _selected(self) -> list[Task]:
        """The preset's tasks that say all words of `select`; or the one it names, in no preset."""
        name, _, direction = self.select.rpartition(" ")
        try:
            if direction in find(name).directions:
                return [Task(name, direction)]
        except ValueError:
            pass
        words = self.select.split()
        return [task for task in self.preset.tasks if all(word in said(task) for word in words)]


def said(task: Task) -> str:
    """What a task is selected by: its row, its op, "dense" if it is so, and its batch."""
    workload = find(task.workload)
    family = f"{workload.op} dense" if workload.is_dense else workload.op
    return f"{task.workload} {task.direction} {family} batch={workload.batch}"


def _processes(outcomes: list[Outcome]) -> int:
    """How many processes have timed a task."""
    return outcomes[-1].row.processes or 0 if outcomes else 0


def task_key(spec: str, threads: str, task: Task) -> Key:
    """What tells the row of a task from all others."""
    return label(spec), task.workload, task.direction, threads


def duration(seconds: float) -> str:
    """About how long: "50 s", "4 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


PLAN = pytest.StashKey[Plan]()
