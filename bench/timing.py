"""Rounds and samples: every arm once a round, in balanced random order, primed before each sample.

Nothing here knows what an arm computes. The clock is a parameter, so that tests need no time.
"""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from time import perf_counter_ns, process_time_ns
from typing import NamedTuple

import numpy as np

Call = Callable[[], object]

# A sample is at least this long: the clock and the loop around a call are then below 0.01 %.
SAMPLE_NS = 2_000_000
# However slow the arms are: a median of three survives one bad sample.
MIN_ROUNDS = 3
# On all cores: how long the pools of the arm before may still spin (measured: 10 ms).
PRIME_NS = 10_000_000
# A call that is longer needs no prime: what the arm before left in caches costs it below 1 %.
LONG_NS = 200_000_000


class Clock(NamedTuple):
    """wall_ns: a steady clock. delay_ns: how long this thread was ready to run, but did not.

    cpu_ns: what all threads of the process have spent on a core.
    """

    wall_ns: Callable[[], int]
    delay_ns: Callable[[], int]
    cpu_ns: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Sample:
    """One timing of one arm. calls: how many calls it holds; the times are of all of them."""

    round: int
    position: int
    arm: str
    calls: int
    wall_ns: int
    delay_ns: int
    cpu_ns: int


def thread_clock() -> Clock:
    """The clock of the calling thread; delay is always 0 where the kernel does not tell it."""
    # Windows counts processor time in steps of 16 ms.
    cpu_ns = perf_counter_ns if sys.platform == "win32" else process_time_ns
    try:
        file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        os.pread(file, 64, 0).split()[1]
    except (OSError, IndexError):
        return Clock(perf_counter_ns, lambda: 0, cpu_ns)
    # The second field is the run delay; reading it so takes about 1 us.
    return Clock(perf_counter_ns, lambda: int(os.pread(file, 64, 0).split()[1]), cpu_ns)


def run(
    arms: dict[str, Call],
    clock: Clock,
    *,
    rounds: int,
    budget_s: float,
    all_cores: bool,
    seed: Sequence[int],
) -> list[Sample]:
    """Samples of every arm, `rounds` of them unless the budget ends first; at least MIN_ROUNDS."""
    calls = {arm: _calls_per_sample(call, clock) for arm, call in arms.items()}
    samples: list[Sample] = []
    start = clock.wall_ns()
    gc.collect()
    gc.disable()
    try:
        for number, order in zip(range(rounds), orders(tuple(arms), seed), strict=False):
            if number >= MIN_ROUNDS and clock.wall_ns() - start > budget_s * 1e9:
                break
            for position, arm in enumerate(order):
                count, is_long = calls[arm]
                if all_cores or not is_long:
                    _prime(arms[arm], all_cores, clock)
                samples.append(
                    Sample(number, position, arm, count, *time_calls(arms[arm], count, clock))
                )
    finally:
        gc.enable()
    return samples


def williams(count: int) -> list[tuple[int, ...]]:
    """Orders of so many arms: each is in each place, and directly after each other, as often.

    A Williams square (1949); for an odd number of arms with its mirror image.
    """
    # 0, 1, n - 1, 2, n - 2, ...: neighbors differ by every number, so all shifts of it balance.
    first = [0, *(-k // 2 % count if k % 2 == 0 else (k + 1) // 2 for k in range(1, count))]
    square = [tuple((arm + shift) % count for arm in first) for shift in range(count)]
    return square if count % 2 == 0 else square + [order[::-1] for order in square]


def orders(arms: Sequence[str], seed: Sequence[int]) -> Iterator[tuple[str, ...]]:
    """Orders of the arms without end: whole Williams squares, each shuffled."""
    square, rng = williams(len(arms)), np.random.default_rng(seed)
    while True:
        for row in rng.permutation(len(square)):
            yield tuple(arms[arm] for arm in square[row])


def seconds_of(call: Call, wall_ns: Callable[[], int] = perf_counter_ns) -> float:
    """Duration of one call."""
    before = wall_ns()
    call()
    return (wall_ns() - before) / 1e9


def time_calls(call: Call, count: int, clock: Clock) -> tuple[int, int, int]:
    """(wall, delay, cpu) of some calls. The wall's interval holds the others': never shorter."""
    wall, delay, cpu = clock.wall_ns(), clock.delay_ns(), clock.cpu_ns()
    for _ in range(count):
        call()
    cpu, delay = clock.cpu_ns() - cpu, clock.delay_ns() - delay
    return clock.wall_ns() - wall, delay, cpu


def _calls_per_sample(call: Call, clock: Clock) -> tuple[int, bool]:
    """(How many calls fill SAMPLE_NS, whether a single one is long); from the faster of two."""
    fastest = seconds_of(call, clock.wall_ns) * 1e9
    if fastest < LONG_NS:
        fastest = min(seconds_of(call, clock.wall_ns) * 1e9 for _ in range(2))
    return max(1, ceil(SAMPLE_NS / max(fastest, 1.0))), fastest >= LONG_NS


def _prime(call: Call, all_cores: bool, clock: Clock) -> None:
    """Untimed calls before a sample, which finds caches and pools as the arm itself leaves them."""
    start = clock.wall_ns()
    call()
    while all_cores and clock.wall_ns() - start < PRIME_NS:
        call()
