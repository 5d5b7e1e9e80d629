"""Trainings follow PyTorch's, faulty backends do not; what was learned is stored and told."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy import ndarray
from rich.progress import Progress
from sklearn.datasets import load_digits

from bench import report
from bench.machine import ROOT
from bench.stored import RunError
from bench.training import __main__ as command
from bench.training import digits as data
from bench.training import record, section
from bench.training.digits import Digits, lessons
from bench.training.pupils import BackendPupil, Pupil, TorchPupil
from bench.training.record import FIRST_STEPS, PYTORCH, Training, Trainings
from impls import Backend, im2col

COUNT = 100


@pytest.fixture(scope="module")
def small() -> Digits:
    """The digits as they are, 8 x 8: SimpleCNN takes them too, sixteen times as fast."""
    return data.digits(enlarged=1)


def backend(name: str = "right", **kernels: Callable[..., object]) -> Backend:
    """im2col with some kernels replaced."""
    module = ModuleType(name)
    module.__dict__.update({**vars(im2col), **kernels})
    return Backend(name, module)


def first_steps(make: Callable[[str], Pupil], learner: str, digits: Digits) -> Training:
    return command.train_one(learner, make, "float64", digits, Progress(disable=True))


@pytest.fixture(scope="module")
def expected(small: Digits) -> Training:
    return first_steps(TorchPupil, PYTORCH, small)


def whole(learner: str, right: int = 98, losses: tuple[float, ...] = (2.3, 0.1)) -> Training:
    """A training in float32 that told so many of 100 digits right, and 8 for 1 else."""
    confusion = np.zeros((10, 10), int)
    confusion[4, 4], confusion[8, 1] = right, 100 - right
    return Training(
        learner=learner, dtype="float32", losses=list(losses), step_median_s=0.03,
        confusion=confusion.tolist(),
    )  # fmt: skip


# ------------------------------------------------------------------------------------ the digits


def test_a_fifth_of_the_digits_is_held_out() -> None:
    digits = data.digits()
    assert digits.images.shape == (1437, 3, 32, 32)
    assert digits.asked_images.shape == (360, 3, 32, 32)
    assert np.bincount(digits.asked_labels).min() >= 34
    both = np.concatenate([digits.images, digits.asked_images])[:, 0, ::4, ::4]
    # Scaled back, they are the wheel's, each of them once.
    pixels = np.round((both - both.min()) / np.diff(np.unique(both)).min()).astype(int)
    assert sorted(map(bytes, pixels)) == sorted(map(bytes, load_digits().images.astype(int)))


def test_each_pixel_becomes_a_square_in_three_equal_channels() -> None:
    digits = data.digits()
    image = digits.images[7]
    assert np.array_equal(image, np.broadcast_to(image[:1], image.shape))
    assert np.array_equal(image[0], np.kron(image[0, ::4, ::4], np.ones((4, 4))))
    assert abs(digits.images.mean()) < 1e-9
    assert abs(digits.images.std() - 1) < 1e-9


def test_every_epoch_sees_every_image_once_in_an_order_of_its_own() -> None:
    steps = list(lessons(COUNT))
    per_epoch = COUNT // data.BATCH
    epochs = [steps[i : i + per_epoch] for i in range(0, len(steps), per_epoch)]
    assert len(epochs) == data.EPOCHS
    seen = [np.concatenate([step.chosen for step in epoch]).tolist() for epoch in epochs]
    for order in seen:
        assert len(set(order)) == len(order) == per_epoch * data.BATCH
    assert len({tuple(order) for order in seen}) == data.EPOCHS


def test_lessons_are_the_same_every_time() -> None:
    for one, other in zip(lessons(COUNT), lessons(COUNT), strict=True):
        assert np.array_equal(one.chosen, other.chosen)
        assert one.learning_rate == other.learning_rate


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [step.learning_rate for step in lessons(1437)]
    peak = int(np.argmax(rates))
    assert np.all(np.diff(rates[: peak + 1]) > 0)
    assert np.all(np.diff(rates[peak:]) < 0)
    assert 0 < rates[-1] < rates[0] < max(rates) <= data.LEARNING_RATE


# ------------------------------------------------------------------------------------ the verdict


def test_a_right_backend_follows_pytorch(small: Digits, expected: Training) -> None:
    mine = first_steps(partial(BackendPupil, backend()), "right", small)
    assert len(mine.losses) == FIRST_STEPS
    assert len(set(mine.losses)) == FIRST_STEPS
    assert Trainings({}, [expected, mine, whole("right")]).fault("right") == ""


def test_the_same_training_twice_is_the_same(small: Digits, expected: Training) -> None:
    assert first_steps(TorchPupil, PYTORCH, small).losses == expected.losses


def shifted_weight(*arguments: ndarray, **params: Any) -> ndarray:
    grad = im2col.conv_grad_weight(*arguments, **params)
    return np.roll(grad, 1, axis=3)


def nearly(*arguments: ndarray, **params: Any) -> ndarray:
    return im2col.conv_grad_weight(*arguments, **params) * 1.001


def leaking(grad_output: ndarray, input: ndarray) -> ndarray:
    return np.where(input > 0, grad_output, 0.01 * grad_output)


def summed(grad_output: ndarray, input: ndarray) -> ndarray:
    return im2col.global_avg_pool_grad_input(grad_output, input) * 1.01


@pytest.mark.parametrize(
    "kernel, fault",
    [
        ("conv_grad_weight", shifted_weight),
        ("conv_grad_weight", nearly),
        ("relu_grad_input", leaking),
        ("global_avg_pool_grad_input", summed),
    ],
)
def test_a_faulty_backend_does_not_follow(
    small: Digits, expected: Training, kernel: str, fault: Callable[..., object]
) -> None:
    make = partial(BackendPupil, backend("faulty", **{kernel: fault}))
    mine = first_steps(make, "faulty", small)
    session = Trainings({}, [expected, mine, whole("faulty")])
    assert session.fault("faulty").startswith("step ")
    assert "but should be" in session.told("faulty")


@pytest.mark.parametrize("right, fault", [(97, ""), (96, "accuracy=96.00%, but should be at")])
def test_a_backend_must_tell_the_digits(expected: Training, right: int, fault: str) -> None:
    first = replace(expected, learner="b")
    found = Trainings({}, [expected, first, whole("b", right)]).fault("b")
    assert found.startswith(fault)
    assert bool(found) == bool(fault)


def test_losses_that_are_no_number_are_a_fault(expected: Training) -> None:
    mine = replace(expected, learner="b", losses=[float("nan")] * FIRST_STEPS)
    assert Trainings({}, [expected, mine, whole("b")]).fault("b").startswith("step 0: loss=nan")


def test_a_crash_ends_its_own_training_and_is_told(small: Digits, expected: Training) -> None:
    def crash(input: ndarray) -> ndarray:
        raise ZeroDivisionError("by zero")

    mine = first_steps(partial(BackendPupil, backend("crashing", relu=crash)), "crashing", small)
    assert (mine.losses, mine.error) == ([], "ZeroDivisionError: by zero")
    assert Trainings({}, [expected, mine, whole("crashing")]).fault("crashing") == mine.error


# ------------------------------------------------------------------------------- command and pages


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, small: Digits) -> None:
    """One epoch of small digits, of which half must be told."""
    monkeypatch.setattr(command, "digits", lambda: small)
    monkeypatch.setattr(data, "EPOCHS", 1)
    monkeypatch.setattr(record, "ACCURACY", 0.5)


@pytest.mark.usefixtures("quick")
def test_the_command_trains_stores_and_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--backend", "im2col", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "train: im2col trains SimpleCNN to tell" in said
    assert f"train: wrote {tmp_path / 'train.json'}" in said
    found = record.load(tmp_path)
    assert found is not None
    assert found.backends() == ["im2col"]
    assert found.machine["packages"]["torch"]
    assert [(t.learner, t.dtype, len(t.losses)) for t in found.trainings] == [
        (PYTORCH, "float64", 20), (PYTORCH, "float32", 89),
        ("im2col", "float64", 20), ("im2col", "float32", 89),
    ]  # fmt: skip
    assert found.of("im2col", "float32").accuracy > 0.5
    page = (tmp_path / "index.html").read_text()
    assert "✓ im2col trains SimpleCNN to tell" in page
    assert page.count("<svg") == 1
    assert "| im2col    | float32 |" in (tmp_path / "report.md").read_text()


FORGETFUL = """
from impls.im2col import *
from impls.im2col import conv_grad_weight as right

def conv_grad_weight(*arguments, **params):
    return 0 * right(*arguments, **params)
"""


@pytest.mark.usefixtures("quick")
def test_the_command_fails_for_a_faulty_backend(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "forgetful.py"
    path.write_text(FORGETFUL)
    assert command.main(["--backend", str(path), "--out", str(tmp_path)]) == 1
    assert "forgetful trains SimpleCNN wrong: step " in capsys.readouterr().out
    assert "✗ forgetful trains SimpleCNN wrong" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize(
    "specs, says",
    [
        (["nonsense"], "backend='nonsense' must be one of"),
        (["im2col", "impls/im2col.py"], "backend='impls/im2col.py' must not share its name"),
    ],
)
def test_a_wrong_choice_is_told(
    specs: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([f"--backend={spec}" for spec in specs])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 0}', '{"schema": 1, "trainings": []}'])
def test_a_foreign_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(
        RunError, match=r"train\.json must be a run that `python -m bench.training`"
    ):
        list(report.render(tmp_path))


def test_a_training_that_ended_early_is_shown(tmp_path: Path, expected: Training) -> None:
    unborn = replace(
        expected, learner="b", losses=[], step_median_s=float("nan"), error="Error: <by zero>"
    )
    early = replace(whole("b"), losses=[2.3], confusion=[], error="x")
    session = Trainings({}, [expected, whole(PYTORCH), unborn, early])
    record.store(session, tmp_path)
    assert record.load(tmp_path) is not None
    list(report.render(tmp_path))
    page = (tmp_path / "index.html").read_text()
    assert "✗ b trains SimpleCNN wrong: Error: &lt;by zero&gt;." in page


def test_the_table_says_which_digit_was_taken_for_which(expected: Training) -> None:
    mine = whole("b", 98)
    mine.confusion[9][7] = 1
    mine.confusion[3][5] = 5
    first = replace(expected, learner="b")
    words = section.words(Trainings({}, [expected, whole(PYTORCH, 100), first, mine]))
    assert words is not None
    mistakes = list(words["table"]["took for another"])
    assert mistakes == ["", "", "", "3 for 5 (5), 8 for 1 (2), 9 for 7"]


def test_the_readers_guide_explains_train_json(tmp_path: Path, expected: Training) -> None:
    path = record.store(Trainings({}, [expected]), tmp_path)
    stored = json.loads(path.read_text())
    guide = (ROOT / "reports" / "README.md").read_text()
    names = {*stored, *stored["trainings"][0]} - {"schema"}
    assert sorted(name for name in names if f"`{name}`" not in guide) == []
