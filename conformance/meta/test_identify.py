"""The cases tell every parameter from every other it could be taken for."""

import json
from pathlib import Path

import pytest

from conformance.certificate import FILE, certificate, store
from conformance.identify import SHAPE, VALUES, asked, confusions, witnesses
from impls.spec.case import case
from impls.spec.interface import kernel_params
from impls.spec.op import OpSpec
from impls.spec.ops import OPS

EACH_OP = pytest.mark.parametrize("op", OPS.values(), ids=OPS)


@EACH_OP
def test_every_confusion_is_told_in_every_direction(op: OpSpec) -> None:
    found = list(witnesses(op, asked(op)))
    assert {one.confusion for one in found} == set(confusions(op))
    assert [one for one in found if one.by not in (VALUES, SHAPE)] == []
    ids = {case.id for case in asked(op)}
    assert {one.case for one in found} <= ids
    # A gradient's kernel is given shapes: what keeps them must show in values.
    by_values = {one.confusion for one in found if one.by == VALUES}
    for name in ("padding: before for after, after for before", "input: channels of groups in turn",
                 "weight: rows for columns, where it is square"):  # fmt: skip
        assert name not in confusions(op) or name in by_values


@EACH_OP
def test_every_parameter_is_confused_with_its_default_and_its_axes(op: OpSpec) -> None:
    names = set(kernel_params(op)) - {"patch_size"}
    confused = {name.split(":")[0].split(" for ")[0] for name in confusions(op)}
    assert names <= confused


def test_conv2d_tells_axes_by_values_too() -> None:
    """Where the right shape is kept, as by a kernel that is given it."""
    op = OPS["conv2d"]
    by = {(one.direction, one.confusion): one.by for one in witnesses(op, asked(op))}
    for name in ("kernel_size", "stride", "padding", "dilation"):
        for direction in ("forward", "grad_input", "grad_weight"):
            swapped = by.get((direction, f"{name}: height for width, width for height"), VALUES)
            assert swapped == VALUES


SQUARE = (
    case("square", (2, 4, 8, 8), (6, 2, 3, 3), (6,), stride=2, padding=1, groups=2),
    case("dilated", (2, 4, 8, 8), (6, 4, 3, 3), (6,), dilation=2),
)


@pytest.mark.parametrize(
    "confusion",
    [
        "stride: height for width, width for height",
        "padding: before for after, after for before",
        "dilation: width for both",
    ],
)
def test_square_cases_cannot_tell(confusion: str) -> None:
    """What most suites have; the certificate would show the gap."""
    told = [one for one in witnesses(OPS["conv2d"], SQUARE) if one.confusion == confusion]
    assert len(told) == 3
    assert {(one.level, one.case, one.by) for one in told} == {("", "", "")}


def test_the_certificate_says_what_is_covered_and_told(tmp_path: Path) -> None:
    store(tmp_path)
    stored = json.loads((tmp_path / FILE).read_text())
    assert stored == certificate()
    assert [one["op"] for one in stored["ops"]] == list(OPS)
    for one in stored["ops"]:
        assert one["covered"] == one["pairs"] - len(one["impossible"])
        assert all(each["rule"] for each in one["impossible"])
    conv = next(one for one in stored["ops"] if one["op"] == "conv2d")
    assert {
        "pair": "padding same with stride 2",
        "rule": "padding='same' must have stride 1, but stride=(2, 2)",
    } in conv["impossible"]
