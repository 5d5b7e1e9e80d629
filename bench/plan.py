"""Plan: what one run times, and what it has found so far."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

import impls
from bench.duel import Outcome
from bench.workloads import find
from bench.workloads.presets import PRESETS, Preset, Task


@dataclass(slots=True)
class Plan:
    """A preset over backends, and the outcomes as they come.

    select: only tasks whose "WORKLOAD DIRECTION" contains it, or any one by its full name.
    proofs: per worker, the threads that its pools were found to have.
    """

    preset: Preset = PRESETS["smoke"]
    backends: list[str] = field(default_factory=impls.names)
    threads: tuple[str, ...] = ()
    select: str = ""
    outcomes: list[Outcome] = field(default_factory=list)
    proofs: dict[str, dict[str, int]] = field(default_factory=dict)

    def tasks(self) -> Iterator[tuple[str, str, Task]]:
        """(backend, threads, task), backend by backend: one worker lives at a time."""
        for spec in self.backends:
            for threads in self.threads or self.preset.threads:
                for task in self._selected():
                    yield spec, threads, task

    def _selected(self) -> list[Task]:
        """The preset's tasks that `select` is part of; or the one that it names, in no preset."""
        name, _, direction = self.select.rpartition(" ")
        try:
            if direction in find(name).directions:
                return [Task(name, direction)]
        except ValueError:
            pass
        tasks = self.preset.tasks
        return [task for task in tasks if self.select in f"{task.workload} {task.direction}"]


PLAN = pytest.StashKey[Plan]()
