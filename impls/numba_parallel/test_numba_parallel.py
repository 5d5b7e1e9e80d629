"""Serial and parallel versions compute the same bits as loop, with any number of threads."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest
from numpy import ndarray

from impls import loop, numba_parallel
from impls.numba_parallel import _axes, _dense, _jit, _lanes, _plan, _pool, _thin, _turned
from impls.spec.interface import KERNELS
from impls.spec.plan import Params, Shape

COMPILED = {
    f"{module.__name__.rsplit('.', 1)[1]}.{name}": value
    for module in (_dense, _lanes, _pool, _thin, _turned)
    for name, value in vars(module).items()
    if isinstance(value, _jit.Kernel)
}

CONV: Params = {
    "stride": (2, 1), "padding": ((1, 2), (0, 3)), "dilation": (1, 2), "groups": 2,
}  # fmt: skip
PLAIN: Params = {
    "stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1,
}  # fmt: skip
AROUND = PLAIN | {"padding": ((1, 1), (1, 1))}
TRANSPOSE = CONV | {"output_padding": (1, 1)}
MAX: Params = {
    "kernel_size": (3, 2), "stride": (2, 3), "padding": ((1, 1), (0, 0)), "dilation": (1, 2),
    "ceil_mode": True,
}  # fmt: skip
# Divisors 1, 2 and 4: exact.
AVG: Params = {
    "kernel_size": (2, 2), "stride": (2, 1), "padding": ((1, 1), (1, 1)), "ceil_mode": True,
    "count_include_pad": False, "divisor_override": None,
}  # fmt: skip


class Call(NamedTuple):
    """Shapes of a kernel's arrays, and its parameters."""

    arrays: tuple[Shape, ...]
    params: Params


X, W, B = (3, 4, 9, 8), (6, 2, 3, 2), (6,)
DY = (3, 6, 5, 9)  # (9 + 3 - 3) // 2 + 1, 8 + 3 - 3 + 1
XT, WT = (3, 4, 5, 4), (4, 3, 3, 2)
DYT = (3, 6, 9, 4)  # 4 * 2 + 3 - 3 + 1, 3 + 3 - 3 + 1
CALLS = {
    "conv": Call((X, W, B), CONV),
    "conv_grad_input": Call((DY, X, W), CONV),
    "conv_grad_weight": Call((DY, X, W), CONV),
    "conv, depthwise": Call((X, (8, 1, 3, 2), (8,)), CONV | {"groups": 4}),
    "conv_grad_input, depthwise": Call(((3, 8, 5, 9), X, (8, 1, 3, 2)), CONV | {"groups": 4}),
    "conv_grad_weight, depthwise": Call(((3, 8, 5, 9), X, (8, 1, 3, 2)), CONV | {"groups": 4}),
    "conv_grad_weight, few rows": Call(((2, 16, 5, 9), (2, 150, 5, 9), (16, 150, 1, 1)), PLAIN),
    "conv, turned around": Call(((3, 40, 7, 6), (50, 40, 3, 3), (50,)), AROUND),
    "conv_grad_input, turned around": Call(((3, 50, 7, 6), (3, 40, 7, 6), (50, 40, 3, 3)), AROUND),
    "conv_transpose": Call((XT, WT, B), TRANSPOSE),
    "conv_transpose_grad_input": Call((DYT, XT, WT), TRANSPOSE),
    "conv_transpose_grad_weight": Call((DYT, XT, WT), TRANSPOSE),
    "max_pool": Call((X,), MAX),
    "avg_pool": Call((X,), AVG),
    "avg_pool_grad_input": Call(((3, 4, 5, 9), X), AVG),
    "global_avg_pool": Call(((3, 4, 4, 8),), {}),
    "global_avg_pool_grad_input": Call(((3, 4), (3, 4, 4, 8)), {}),
    "relu": Call((X,), {}),
    "relu_grad_input": Call((X, X), {}),
    "linear": Call(((7, 5), (3, 5), (3,)), {}),
    "linear_grad_input": Call(((7, 3), (7, 5), (3, 5)), {}),
    "linear_grad_weight": Call(((7, 3), (7, 5), (3, 5)), {}),
    "linear, two rows": Call(((2, 1500), (3, 1500), (3,)), {}),
    "linear_grad_input, two rows": Call(((2, 3), (2, 1500), (3, 1500)), {}),
    "image_to_patches": Call(((6, 9, 4),), {"patch_size": 3}),
    "image_to_patches_grad_image": Call(((6, 36), (6, 9, 4)), {"patch_size": 3}),
}
# Plain sums, which are vectorized.
REORDERED = ("_thin.linear", "_thin.linear_grad_input", "_pool.global_avg_pool")
OWN = [*CALLS, "max_pool_grad_input"]


def run(module: Any, kernel: str, dtype: str) -> tuple[ndarray, ...]:
    """The kernel's results, for the same integers every time."""
    rng = np.random.default_rng(3)
    if kernel == "max_pool_grad_input":
        input = rng.integers(-4, 5, X).astype(dtype)
        output, indices = loop.max_pool(input, **MAX)
        grad_output = rng.integers(-4, 5, output.shape).astype(dtype)
        return (module.max_pool_grad_input(grad_output, input, indices, **MAX),)
    arrays = [rng.integers(-4, 5, shape).astype(dtype) for shape in CALLS[kernel].arrays]
    for array in arrays:
        array.flags.writeable = False
    result = getattr(module, kernel.split(",")[0])(*arrays, **CALLS[kernel].params)
    return result if isinstance(result, tuple) else (result,)


def equal(actual: tuple[ndarray, ...], expected: tuple[ndarray, ...]) -> bool:
    """Whether all bits are equal."""
    return len(actual) == len(expected) and all(
        a.dtype == e.dtype and a.shape == e.shape and a.tobytes() == e.tobytes()
        for a, e in zip(actual, expected, strict=True)
    )


class Watched(_jit.Version):
    """A version that says its name when it runs."""

    def __init__(self, name: str, version: Callable[..., None], ran: list[str]) -> None:
        self.name, self.version, self.ran = name, version, ran

    def __call__(self, *arguments: Any) -> None:
        self.ran.append(self.name)
        self.version(*arguments)


def watched(kernel: _jit.Kernel, ran: list[str]) -> _jit.Kernel:
    """The kernel, which adds the name of the version that runs."""
    return _jit.Kernel(
        Watched("serial", kernel.serial, ran), Watched("parallel", kernel.parallel, ran)
    )


def parallel_from(monkeypatch: pytest.MonkeyPatch, work: float) -> None:
    """From here on, calls of so much work take several threads, also where there is one core."""
    monkeypatch.setattr(_jit, "SERIAL_WORK", work)
    monkeypatch.setattr(_jit, "WAKING_WORK", work)
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 2)


def versions(monkeypatch: pytest.MonkeyPatch, work: float) -> list[str]:
    """From here on, which version ran; `work` is where the parallel one begins."""
    parallel_from(monkeypatch, work)
    ran: list[str] = []
    monkeypatch.setattr(
        numba_parallel, "launch", lambda kernel, *rest: _jit.launch(watched(kernel, ran), *rest)
    )
    return ran


def test_every_kernel_is_called_here() -> None:
    called = {name.split(",")[0] for name in OWN}
    assert called == {name for name in KERNELS if hasattr(numba_parallel, name)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", OWN)
def test_serial_and_parallel_equal_the_loops(
    monkeypatch: pytest.MonkeyPatch, kernel: str, dtype: str
) -> None:
    expected = run(loop, kernel, dtype)
    assert len(np.unique(expected[0])) > 2
    ran = versions(monkeypatch, 0)
    parallel = run(numba_parallel, kernel, dtype)
    parallel_from(monkeypatch, float("inf"))
    serial = run(numba_parallel, kernel, dtype)
    assert ran == ["parallel", "serial"]
    # The sign of zero is free in sums: + 0 makes it positive.
    positive = kernel not in ("relu", "relu_grad_input", "max_pool")
    zero = 0 if positive else -0.0
    assert equal(tuple(a + zero for a in parallel), tuple(a + zero for a in serial))
    for actual, wanted in zip(parallel, expected, strict=True):
        assert actual.dtype == wanted.dtype
        assert np.array_equal(actual, wanted)


@pytest.mark.parametrize("kernel", OWN)
def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch, kernel: str) -> None:
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one thread only on this machine")
    parallel_from(monkeypatch, 0)
    before = numba.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            results.append(run(numba_parallel, kernel, "float32"))
    finally:
        numba.set_num_threads(before)
    assert equal(results[0], results[1])


@pytest.mark.parametrize("size", [(7, 7), (1, 1), (5, 10), (9, 8), (14, 14)])
@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("images, share", [(1, 0), (1, float("inf")), (3, float("inf"))])
def test_no_division_of_the_work_changes_a_bit(
    monkeypatch: pytest.MonkeyPatch, images: int, share: float, kernel_size: int,
    size: tuple[int, int],
) -> None:  # fmt: skip
    numba_parallel._job.cache_clear()
    monkeypatch.setattr(_plan, "TURNED_SHARE", share)
    rng = np.random.default_rng(4)
    input = rng.standard_normal((images, 600, *size))
    weight = rng.standard_normal((70, 600, kernel_size, kernel_size))  # 64 rows and more pack
    around = kernel_size // 2
    params: Params = {
        "stride": (1, 1), "padding": ((around,) * 2,) * 2, "dilation": (1, 1), "groups": 1,
    }  # fmt: skip
    grad_output = rng.standard_normal((images, 70, *size))
    parallel_from(monkeypatch, 0)
    results, gradients = [], []
    for threads in (1, 2, 5):
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
        results.append(numba_parallel.conv(input, weight, None, **params))
        gradients.append(numba_parallel.conv_grad_input(grad_output, input, weight, **params))
    for one, two, five in (results, gradients):
        assert equal((one,), (two,))
        assert equal((one,), (five,))
    zero_padded = np.pad(input, ((0, 0), (0, 0), (around,) * 2, (around,) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(
        zero_padded, (kernel_size, kernel_size), (2, 3)
    )
    expected = np.einsum("ncpqrs,ocrs->nopq", windows, weight)
    np.testing.assert_allclose(results[0], expected, atol=1e-10)
    # A convolution's gradient is its adjoint.
    np.testing.assert_allclose(np.vdot(gradients[0], input), np.vdot(grad_output, expected))
    numba_parallel._job.cache_clear()


@pytest.mark.parametrize(
    "make, shape, weight, params, is_turned",
    [
        # Of 9 taps 7.4 lie in the image; of a 1 x 1 kernel all do, and packing costs the same.
        (_plan.forward_tables, (8, 64, 7, 7), (96, 64, 3, 3), AROUND, True),
        (_plan.grad_input_tables, (8, 64, 7, 7), (96, 64, 3, 3), AROUND, True),
        (_plan.forward_tables, (8, 64, 7, 7), (96, 64, 1, 1), PLAIN, False),
        # Too few channels for a vector; images too large for L2.
        (_plan.forward_tables, (8, 64, 7, 7), (3, 64, 3, 3), AROUND, False),
        (_plan.forward_tables, (8, 64, 300, 300), (96, 64, 3, 3), AROUND, False),
    ],
)
def test_layers_are_turned_around_where_that_spares_taps(
    make: Callable[[_axes.Call], Any], shape: Shape, weight: Shape, params: Params, is_turned: bool
) -> None:
    output = (shape[0], weight[0], *shape[2:])
    call = _axes.Call(shape, weight, output, **params, itemsize=4, threads=2)
    assert isinstance(make(call), _plan.TurnedTables) == is_turned


def test_every_version_has_a_cache_file_of_its_own() -> None:
    # Twelve kernels are compiled twice, five once; one function divides the tasks of these.
    assert len(COMPILED) == 17
    dispatchers = {version.dispatcher for kernel in COMPILED.values() for version in kernel}
    files = {dispatcher._cache._cache_file._index_name for dispatcher in dispatchers}
    assert len(files) == len(dispatchers) == 30


@pytest.mark.parametrize("name", COMPILED)
def test_one_function_makes_both_versions(name: str) -> None:
    kernel = COMPILED[name]
    serial, parallel = (version.dispatcher for version in kernel)
    if isinstance(kernel.parallel, _jit.DividedTasks):
        assert kernel.parallel.whole is kernel.serial
    else:
        assert serial.py_func.__code__ is parallel.py_func.__code__
    assert not serial.targetoptions.get("parallel")
    assert parallel.targetoptions["parallel"]
    # Pools and relu promise NaN and the sign of zero; the tile says itself what is fused.
    for version in (serial, parallel):
        assert bool(version.targetoptions.get("fastmath")) is (name in REORDERED)


def test_no_kernel_can_write_to_an_input() -> None:
    def overwrite(output, input):  # type: ignore[no-untyped-def]
        input[0] = output[0]

    version = _jit.Version(numba.njit(overwrite))
    with pytest.raises(numba.TypingError, match="Cannot modify readonly array"):
        version((np.ones(3),), (np.ones(3),), ())


def refuse(out, first, end):  # type: ignore[no-untyped-def]
    for task in range(first, end):
        if task == 2:
            raise MemoryError("no memory")
        out[task] = 1


def test_a_task_without_memory_raises_in_the_caller_too() -> None:
    for version in _jit.tasked(refuse):
        version([out := np.zeros(2, np.float32)], (), (0, 2))
        np.testing.assert_array_equal(out, 1)
        with pytest.raises(MemoryError, match="memory"):
            version([np.zeros(4, np.float32)], (), (0, 4))


@pytest.mark.parametrize(
    "threads, are_awake, work, chosen",
    [
        (2, True, 11_999, "serial"),
        (2, True, 12_000, "parallel"),
        (2, False, 99_999, "serial"),
        (2, False, 100_000, "parallel"),
        (1, True, 100_000, "serial"),
    ],
)
def test_threads_start_where_they_save_time(
    monkeypatch: pytest.MonkeyPatch, threads: int, are_awake: bool, work: int, chosen: str
) -> None:
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
    monkeypatch.setattr(_jit, "_are_awake", lambda: are_awake)
    ran: list[str] = []
    _jit.launch(watched(_pool.relu, ran), work, (np.empty(3),), (np.ones(3),))
    assert ran == [chosen]


def test_nan_infinity_and_minus_zero_survive(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.array([[[[np.nan, -np.inf], [-0.0, 3.0], [np.inf, -2.0]]]])
    for work in (0, float("inf")):
        parallel_from(monkeypatch, work)
        assert equal((numba_parallel.relu(values),), (loop.relu(values),))
        shares = np.array([[[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]])
        gradient = numba_parallel.relu_grad_input(shares, values)
        assert gradient.ravel().tolist() == [1, 0, 0, 4, 5, 0]
        params: Params = MAX | {"kernel_size": (1, 2), "stride": (1, 2), "dilation": (1, 1)}
        params |= {"padding": ((0, 0), (0, 0))}
        output, indices = numba_parallel.max_pool(values, **params)
        assert equal((output, indices), loop.max_pool(values, **params))
        assert indices.ravel().tolist() == [0, 3, 4]
