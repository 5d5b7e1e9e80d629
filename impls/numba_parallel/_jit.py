"""The only place that says how kernels are compiled, and when a call is worth several threads.

A large kernel is compiled once, for some of its tasks: one thread is given all, several call it at
its address. A small one is compiled twice, serial and parallel. In both every sum has one owner and
one order, so results do not depend on the number of threads. In a small kernel the index of a
prange is unsigned: np.int64(task) before any arithmetic, or the result is a float; and tuples must
be taken apart before the prange. Kernels hold the GIL: concurrent callers take turns, which every
threading layer of Numba survives.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple
from zlib import crc32

import numba
import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy import ndarray

# Multiply-adds below which threads cost more than they save, where the others are awake: a loop
# over planes does so many in some 10 us, and a second thread joins within 1.
SERIAL_WORK = 12_000
# The same where they sleep between calls: waking one took 90 us.
WAKING_WORK = 100_000


def available_threads() -> int:
    """How many threads a call may use."""
    threads: int = numba.config.NUMBA_NUM_THREADS
    return threads


def is_parallel(work: int) -> bool:
    """Whether a call of so many multiply-adds is worth several threads."""
    if work < SERIAL_WORK or available_threads() == 1:
        return False
    return work >= WAKING_WORK or _are_awake()


@cache
def _are_awake() -> bool:
    """Whether threads wait in a loop for the next call, as OpenMP's do for some milliseconds."""
    numba.get_num_threads()  # starts them
    layer: str = numba.threading_layer()
    return layer == "omp"


def _digest() -> str:
    """What the files of this package say, in eight digits."""
    files = sorted(Path(__file__).parent.glob("_*.py"))
    return f"{crc32(b''.join(file.read_bytes() for file in files)):08x}"


SOURCES = _digest()


class Version:
    """A function as it is compiled, for each dtype.

    Its arrays have the same ranks in every call, are C-contiguous and aligned, and those that are
    not integers have one dtype: then compiled code can be called without Numba's dispatcher, which
    would look at each array's type. A small layer takes 0.8 of the time.
    """

    def __init__(self, dispatcher: Any) -> None:
        self.dispatcher = dispatcher
        self.entries: dict[np.dtype[Any], Callable[..., None]] = {}

    def __call__(
        self, outputs: Sequence[ndarray], inputs: Sequence[ndarray], params: Sequence[Any]
    ) -> None:
        """Fill the outputs; inputs and params are only read."""
        dtype = outputs[0].dtype
        entry = self.entries.get(dtype)
        if entry is None:
            kinds = _kinds(outputs, inputs, params)
            entry = self.entries[dtype] = self.dispatcher.compile(kinds)
        entry(*outputs, *inputs, *params)

    def address(self, kinds: tuple[Any, ...]) -> int:
        """Where its machine code for arguments of these types starts."""
        self.dispatcher.compile(kinds)
        compiled = self.dispatcher.overloads[kinds]
        address: int = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
        return address


class DividedTasks:
    """A function of arrays and of (first, end), called by several threads for some tasks each."""

    def __init__(self, whole: Version) -> None:
        self.whole = whole
        self.dispatcher = _divide
        self.entries: dict[np.dtype[Any], tuple[Callable[..., None], int]] = {}

    def __call__(
        self, outputs: Sequence[ndarray], inputs: Sequence[ndarray], params: Sequence[Any]
    ) -> None:
        """Fill the outputs; inputs and params are only read; first and end are the last params."""
        dtype = outputs[0].dtype
        found = self.entries.get(dtype)
        if found is None:
            kinds = _kinds(outputs, inputs, params)
            entry = self.dispatcher.compile((types.Tuple(kinds), types.int64))
            found = self.entries[dtype] = entry, self.whole.address(kinds)
        entry, address = found
        entry((*outputs, *inputs, *params), address)


def _kinds(
    outputs: Sequence[ndarray], inputs: Sequence[ndarray], params: Sequence[Any]
) -> tuple[Any, ...]:
    """The types of arrays like these; no compiled code can write to inputs."""
    kinds = [numba.typeof(array) for array in outputs]
    kinds += [numba.typeof(array).copy(readonly=True) for array in inputs]
    return (*kinds, *(numba.typeof(value) for value in params))


class Kernel(NamedTuple):
    """What runs on one thread, and what runs on all."""

    serial: Version
    parallel: Version | DividedTasks


def launch(
    kernel: Kernel,
    work: int,
    outputs: Sequence[ndarray],
    inputs: Sequence[ndarray],
    *params: Any,
) -> None:
    """Run a kernel whose call costs about `work` multiply-adds: it fills the outputs."""
    version = kernel.parallel if is_parallel(work) else kernel.serial
    version(outputs, inputs, params)


def moving(function: Any) -> Kernel:
    """A kernel that keeps NaN, infinity and the sign of zero, and every value as written."""
    return _compiled(function)


def summing(function: Any) -> Kernel:
    """A kernel whose sums may be reordered and fused, hence vectorized; NaN and infinity stay."""
    return _compiled(function, fastmath={"reassoc", "contract", "nsz"})


# A function that becomes part of its caller. LLVM optimizes an inner one once more for each level
# of callers above it.
inlined = njit(cache=True, error_model="numpy", inline="always")


def inner(function: Any, **options: Any) -> Any:
    """A function that kernels call; it is compiled with each of them.

    Give it no literal (np.int64(1), not 1): Numba would compile a version for that value.
    """
    # Nothing else calls it. Compiling took 0.85 of the time without these.
    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return njit(error_model="numpy", **options)(function)


def lean(function: Any) -> Any:
    """An inner function that allocates no array, returns none, and calls others of its kind only.

    It does not count references to its arrays, which are its callers': two locked additions for
    each array and call took half the time of layers of many small groups.
    """
    return inner(function, _nrt=False)


def tasked(function: Any) -> Kernel:
    """A moving kernel that is compiled once: function(*arrays, first, end) does some of its tasks.

    Compiled once more for all threads, as others are, the dense kernels took 1.6 times as long.
    """
    whole = Version(_dispatcher(function, "tasks"))
    return Kernel(serial=whole, parallel=DividedTasks(whole))


def _compiled(function: Any, **options: Any) -> Kernel:
    return Kernel(
        serial=Version(_dispatcher(function, "serial", **options)),
        parallel=Version(_dispatcher(function, "parallel", parallel=True, **options)),
    )


def _dispatcher(function: Any, version: str, **options: Any) -> Any:
    options |= {"cache": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    return njit(**options)(_named(function, version))


def _named(function: Any, version: str) -> Any:
    """The same function under a name of its own, which says its version and its sources.

    Numba names cache files by qualified name and line, and asks only whether the function's own
    file has changed: what it calls in other files would stay as it was compiled.
    """
    twin = FunctionType(function.__code__, function.__globals__, function.__name__)
    twin.__doc__ = function.__doc__
    twin.__qualname__ = f"{function.__qualname__}_{version}_{SOURCES}"
    twin.__module__ = function.__module__
    return twin


@intrinsic  # type: ignore[untyped-decorator]
def _call(typingctx: Any, address: Any, arrays: Any, first: Any, end: Any) -> Any:
    """Call the function of arrays, first and end at an address; whether it raised an exception."""
    kinds = (*arrays, first, end)

    def codegen(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> Any:
        address, packed, *numbers = args
        values = cgutils.unpack_tuple(builder, packed) + numbers
        kind = context.call_conv.get_function_type(types.none, kinds)
        function = builder.inttoptr(address, kind.as_pointer())
        status, _ = context.call_conv.call_function(builder, function, types.none, kinds, values)
        return status.is_error

    return types.boolean(address, arrays, first, end), codegen


def _call_all(arguments: Any, address: int) -> None:
    """Do all tasks, arguments[-2] to arguments[-1] of the function at the address."""
    arrays, first, end = arguments[:-2], arguments[-2], arguments[-1]
    failures = 0  # an exception would be lost with its thread
    for t in prange(first, end):
        task = np.int64(t)
        failures += _call(address, arrays, task, task + 1)
    if failures:
        raise MemoryError("a task must allocate its strips and panels, but there is no memory")


_divide = _dispatcher(_call_all, "parallel", parallel=True)
