"""The gate refuses what PyTorch refuses, for random calls around the edge of what is legal."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from impls.spec.op import OpSpec
from impls.spec.ops import OPS

SLIDING = ("avg_pool2d", "conv2d", "conv_transpose2d", "max_pool2d")
# PyTorch is not asked: for windows without one valid place its backward corrupts memory, and
# without channels it answers whatever the weight says.
NOT_ASKED = ("one has none", "must be at least 1 on every axis")
NUMBERS = st.integers(-1, 4)
VALUES = st.one_of(NUMBERS, st.tuples(NUMBERS, NUMBERS))
Shapes = tuple[tuple[int, ...], ...]


@st.composite
def around_the_edge(draw: st.DrawFn, op: OpSpec) -> tuple[Shapes, dict[str, Any]]:
    """Shapes and parameters of a plain call, some of them changed."""
    assert op.call is not None
    shapes, params = op.call(**{name: factor.levels[0] for name, factor in op.factors.items()})
    extent = {n: st.sampled_from((n, n, n, n, n + 1, 2 * n, 1)) for shape in shapes for n in shape}
    changed = tuple(tuple(draw(extent[n]) for n in shape) for shape in shapes)
    for name in params:
        if draw(st.booleans()):
            is_flag = isinstance(params[name], bool)
            values = st.booleans() if is_flag else NUMBERS if name == "groups" else VALUES
            params[name] = draw(values)
    return changed, params


@pytest.mark.parametrize("name", SLIDING)
def test_the_gate_refuses_what_pytorch_refuses(name: str) -> None:
    op = OPS[name]
    outcomes = set()

    @settings(
        max_examples=400, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(around_the_edge(op))
    def agrees(call: tuple[Shapes, dict[str, Any]]) -> None:
        shapes, params = call
        refused = _refused_by_plan(op, shapes, params)
        if any(words in refused for words in NOT_ASKED):
            return
        outcomes.add(bool(refused))
        assert bool(_refused_by_pytorch(op, shapes, params)) == bool(refused), refused

    agrees()
    assert outcomes == {True, False}


def _refused_by_plan(op: OpSpec, shapes: Shapes, params: dict[str, Any]) -> str:
    try:
        op.plan(*shapes, **params)
    except ValueError as error:
        return str(error)
    return ""


def _refused_by_pytorch(op: OpSpec, shapes: Shapes, params: dict[str, Any]) -> str:
    try:
        op.oracle(F, *map(torch.ones, shapes), **params)
    except (RuntimeError, TypeError, ValueError) as error:
        return str(error)
    return ""
