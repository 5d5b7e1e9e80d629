"""What the extended level asks beyond one kernel's answers: each question finds its fault."""

import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from numpy import ndarray
from numpy.lib.stride_tricks import as_strided

import impls.backend
from conformance import inputs
from conformance.checks import LARGE, TOGETHER, Check, up_to
from conformance.judge import PATIENCE_S, SLOW_CALLERS, THREADS, judge
from conformance.meta.faults import made, right_kernel
from conformance.verdict import BAD, Status
from impls import im2col
from impls.backend import Backend
from impls.spec import arrays


def asked(op: str, direction: str, *, layout: str = "", **wanted: str) -> list[Check]:
    """Checks of one direction of an op, by their attributes."""
    return [
        check
        for check in up_to("extended")
        if (check.op.name, check.direction) == (op, direction)
        and all(getattr(check, name) == value for name, value in wanted.items())
        and layout in ("", getattr(check.case, "layout", ""))
    ]


def test_gradients_that_are_right_alone_are_asked_together() -> None:
    """The weight's gradient is written where that of the input was left to be read."""
    last: list[ndarray] = []

    def keeping(*arrays: Any, **params: Any) -> ndarray:
        last[:] = [right_kernel("conv_grad_input")(*arrays, **params)]
        return last[0]

    def overwriting(*arrays: Any, **params: Any) -> ndarray:
        answer: ndarray = right_kernel("conv_grad_weight")(*arrays, **params)
        for buffer in last:
            buffer.ravel()[: answer.size] = answer.ravel()[: buffer.size]
        last.clear()
        return answer

    backend = made({"conv_grad_input": keeping, "conv_grad_weight": overwriting})
    verdicts = {
        check: judge(backend, check)
        for direction in ("grad_input", "grad_weight")
        for check in asked("conv2d", direction)
    }
    failed = [check for check, verdict in verdicts.items() if verdict.status is not Status.PASSED]
    assert failed
    assert {check.aspect for check in failed} == {TOGETHER}
    assert "by the same gradient alone" in verdicts[failed[0]].message


@pytest.mark.parametrize("count", [1, *THREADS])
def test_a_fault_of_one_thread_count_is_caught(count: int) -> None:
    """The last row is nobody's, where that many threads divide the work."""
    assert count <= numba.config.NUMBA_NUM_THREADS

    def divided(*arrays: Any, **params: Any) -> ndarray:
        answer: ndarray = im2col.conv(*arrays, **params)
        if numba.get_num_threads() == count:
            answer[:, :, -1] = 0
        return answer

    (check,) = asked("conv2d", "forward", aspect="same_bits_for_any_threads")
    before = numba.get_num_threads()
    verdict = judge(made({"conv": divided}), check)
    assert verdict.status is Status.FAILED
    assert "one thread" in verdict.message
    assert numba.get_num_threads() == before


def as_if_contiguous(array: ndarray, shape: tuple[int, ...]) -> ndarray:
    """A gate that reads each array from where its memory begins, whatever its strides."""
    memory = array if array.base is None else array.base
    flat = as_strided(memory, (memory.size,), (array.itemsize,), writeable=False)
    size = int(np.prod(shape))
    return np.resize(flat, size).reshape(shape)


def in_one_order(array: ndarray, shape: tuple[int, ...]) -> ndarray:
    """A gate that asks for order alone, so that a negative stride is taken as it lies."""
    negative = any(stride < 0 for stride in array.strides)
    return np.ascontiguousarray(array[::-1] if negative else array).reshape(shape)


@pytest.mark.parametrize(
    "gate, layouts",
    [
        (as_if_contiguous, {"transposed", "strided", "reversed", "broadcast"}),
        (in_one_order, {"reversed"}),
    ],
)
def test_a_gate_that_misreads_memory_is_caught_by_its_layouts(
    gate: Callable[..., ndarray], layouts: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(impls.backend, "prepared", gate)
    backend = Backend("im2col", im2col)
    checks = asked("conv2d", "forward", kind="values", dtype="float64")
    found = {c.case.layout for c in checks if judge(backend, c).status in BAD}  # type: ignore[union-attr]
    assert found == layouts


def test_a_broadcast_input_is_one_column_in_memory() -> None:
    array = inputs.laid_out(np.arange(6.0).reshape(2, 3), "broadcast")
    assert array.tolist() == [[0, 0, 0], [3, 3, 3]]
    assert array.strides[-1] == 0
    assert not array.flags.writeable


def test_what_lies_between_the_elements_must_stay() -> None:
    """A backend that has the caller's memory may write where the view has gaps."""

    def spilling(input: ndarray, **params: Any) -> Any:
        for array in given:
            owner = array.base
            assert owner is not None
            owner[...] = np.where(np.isnan(owner), 0, owner)
        return im2col.avg_pool(input, **params)

    given: list[ndarray] = []
    prepared = arrays.prepared

    def leaking(array: ndarray, shape: tuple[int, ...]) -> ndarray:
        given[:] = [array]
        return prepared(array, shape)

    (check,) = asked(
        "avg_pool2d", "forward", layout="strided", aspect="inputs_unchanged", dtype="float32"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(impls.backend, "prepared", leaking)
        verdict = judge(made({"avg_pool": spilling}), check)
    assert verdict.status is Status.FAILED
    assert "changed its input input" in verdict.message


def test_slow_callers_are_told_from_one_another_by_few() -> None:
    sums = np.empty(0)

    def sharing(input: ndarray) -> ndarray:
        nonlocal sums
        sums = right_kernel("relu")(input)
        time.sleep(2 * PATIENCE_S)
        return sums

    (check,) = asked("relu", "forward", aspect="same_bits_for_16_callers", dtype="float32")
    verdict = judge(made({"relu": sharing}), check)
    assert verdict.status is Status.FAILED
    assert f"{SLOW_CALLERS} callers at once" in verdict.message


def test_every_op_that_has_threads_asks_its_large_case() -> None:
    found = {check.op.name for check in up_to("extended") if check.aspect.endswith("threads")}
    assert found == {check.op.name for check in up_to("extended")}
    assert all(
        getattr(check.case, "why", "") == LARGE
        for check in up_to("extended")
        if check.aspect.endswith(("threads", "callers", "batch", "twice"))
    )
