"""What train.json holds, and the verdict on each backend."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import stored
from bench.runs import replace
from conformance.tolerance import LOSS_RTOL

FILE = "train.json"
SCHEMA = 1
PYTORCH = "PyTorch"
# So many steps are taken in float64 too, whose losses must be PyTorch's.
FIRST_STEPS = 20
# The share of the held-out digits that must be told right.
ACCURACY = 0.97


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One network's way: float32 to the end, float64 through the first steps.

    learner: a backend or PyTorch. losses: of each step's batch, before the step.
    confusion: how often digit [row] was told as digit [column]; empty if it was not asked.
    error: what ended it early, or "".
    """

    learner: str
    dtype: str
    losses: list[float]
    step_median_s: float
    confusion: list[list[int]]
    error: str = ""

    @property
    def accuracy(self) -> float:
        """The share of the held-out digits told right; NaN if none was asked."""
        counts = np.array(self.confusion)
        return float(np.trace(counts) / counts.sum()) if counts.size else float("nan")


@dataclass(frozen=True, slots=True)
class Trainings:
    """All of a session, and the machine it ran on; PyTorch's two come first."""

    machine: dict[str, Any]
    trainings: list[Training]

    def backends(self) -> list[str]:
        """Whom PyTorch judges, in the order of their training."""
        return [
            name for name in dict.fromkeys(t.learner for t in self.trainings) if name != PYTORCH
        ]

    def of(self, learner: str, dtype: str) -> Training:
        """The one training of a learner in a dtype."""
        return next(t for t in self.trainings if (t.learner, t.dtype) == (learner, dtype))

    def fault(self, backend: str) -> str:
        """What is wrong with a backend's trainings, "" if nothing is."""
        first, whole = self.of(backend, "float64"), self.of(backend, "float32")
        if error := first.error or whole.error:
            return error
        expected = self.of(PYTORCH, "float64").losses
        for step, distance in enumerate(distances(first.losses, expected)):
            if not distance <= LOSS_RTOL:
                return (
                    f"step {step}: loss={first.losses[step]:.12g}, but should be"
                    f" {expected[step]:.12g}, PyTorch's (float64, rtol {LOSS_RTOL:g})"
                )
        if not whole.accuracy >= ACCURACY:
            return f"accuracy={whole.accuracy:.2%}, but should be at least {ACCURACY:.0%}"
        return ""

    def told(self, backend: str) -> str:
        """One sentence: what is wrong with a backend's trainings, or how good they are."""
        if fault := self.fault(backend):
            return f"{backend} trains SimpleCNN wrong: {fault}."
        mine, theirs = (self.of(name, "float32") for name in (backend, PYTORCH))
        first, expected = (self.of(name, "float64").losses for name in (backend, PYTORCH))
        return (
            f"{backend} trains SimpleCNN to tell {mine.accuracy:.1%} of the held-out digits"
            f" (PyTorch {theirs.accuracy:.1%}); its first {len(first)} losses in float64 are"
            f" PyTorch's within {max(distances(first, expected)):.0e}."
        )


def distances(losses: Sequence[float], expected: Sequence[float]) -> list[float]:
    """How far each loss is from the expected one, as a share of it."""
    pairs = zip(losses, expected, strict=False)  # a training may have ended early
    return [abs(loss - wanted) / abs(wanted) for loss, wanted in pairs]


def store(session: Trainings, directory: Path) -> Path:
    """Write train.json."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / FILE
    text = json.dumps({"schema": SCHEMA, **asdict(session)}, indent=1)
    replace(path, lambda beside: beside.write_text(text + "\n", encoding="utf-8"))
    return path


def load(directory: Path) -> Trainings | None:
    """The trainings of a run folder, None if there are none; RunError for what is none."""

    def make(machine: dict[str, Any], trainings: list[dict[str, Any]]) -> Trainings:
        return Trainings(machine, [Training(**training) for training in trainings])

    return stored.load(directory / FILE, SCHEMA, make, "python -m bench.training")
