"""python -m bench.training: train on backends and in PyTorch, judge, store and show it."""

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sklearn.metrics import confusion_matrix

import impls
from bench import machine, report
from bench.duel import label
from bench.training.digits import Digits, digits, lessons
from bench.training.pupils import BackendPupil, Pupil, TorchPupil
from bench.training.record import FIRST_STEPS, PYTORCH, Training, Trainings, store

LATEST = Path("reports/latest")
# All held-out digits at once would need many times the memory of a step.
ASKED_AT_ONCE = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 if a backend learned too little or otherwise than PyTorch."""
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__)
    parser.add_argument(
        "--backend",
        action="append",
        metavar="NAME|MODULE|PATH.py",
        help="a backend to train on; repeat for several (default: numba; loop would take days)",
    )
    parser.add_argument("--out", type=Path, default=LATEST, metavar="DIR")
    parsed = parser.parse_args(arguments)
    learners: dict[str, Callable[[str], Pupil]] = {PYTORCH: TorchPupil}
    try:
        for spec in parsed.backend or ["numba"]:
            if label(spec) in learners:
                raise ValueError(f"backend={spec!r} must not share its name with another")
            learners[label(spec)] = partial(BackendPupil, impls.get(spec))
    except ValueError as error:
        parser.error(str(error))
    session = Trainings(machine.facts(), train(learners, digits()))
    written = store(session, parsed.out)
    for backend in session.backends():
        print(f"train: {session.told(backend)}")
    for path in (written, *report.render(parsed.out)):
        print(f"train: wrote {path}")
    return int(any(session.fault(backend) for backend in session.backends()))


def train(learners: dict[str, Callable[[str], Pupil]], digits: Digits) -> list[Training]:
    """Two trainings of each learner, with a progress bar."""
    with Progress(
        TextColumn("{task.description:>16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
    ) as progress:
        return [
            train_one(name, make, dtype, digits, progress)
            for name, make in learners.items()
            for dtype in ("float64", "float32")
        ]


def train_one(
    learner: str, make: Callable[[str], Pupil], dtype: str, digits: Digits, progress: Progress
) -> Training:
    """One training; what is raised ends it, and is told in it."""
    steps = list(islice(lessons(len(digits.labels)), FIRST_STEPS if dtype == "float64" else None))
    bar = progress.add_task(f"{learner} {dtype}", total=len(steps), said="")
    images = digits.images.astype(dtype)
    losses, seconds, confusion, error = [], [], [], ""
    try:
        pupil = make(dtype)
        for step in steps:
            start = perf_counter()
            loss = pupil.step(images[step.chosen], digits.labels[step.chosen], step.learning_rate)
            seconds.append(perf_counter() - start)
            losses.append(loss)
            progress.update(bar, advance=1, said=f"loss {loss:.3f}")
        if dtype == "float32":
            confusion = asked(pupil, digits)
    except Exception as raised:  # a crash of a backend costs its own training, not the others'
        error = traceback.format_exception_only(raised)[-1].strip()
    return Training(
        learner=learner,
        dtype=dtype,
        losses=losses,
        step_median_s=median(seconds) if seconds else float("nan"),
        confusion=confusion,
        error=error,
    )


def asked(pupil: Pupil, digits: Digits) -> list[list[int]]:
    """The confusion of the held-out digits."""
    images = digits.asked_images.astype("float32")
    parts = np.array_split(images, -(-len(images) // ASKED_AT_ONCE))
    told = np.concatenate([pupil.logits(part).argmax(axis=1) for part in parts])
    counts: list[list[int]] = confusion_matrix(digits.asked_labels, told, labels=range(10)).tolist()
    return counts


if __name__ == "__main__":
    # The same losses on any machine; and where another program holds a core, PyTorch's threads wait
    # for each other: 400 ms a step on two cores, 31 ms on one.
    torch.set_num_threads(1)
    sys.exit(main())
