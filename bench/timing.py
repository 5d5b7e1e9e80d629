"""Rounds and samples: every arm once a round, in balanced random order, primed before each sample.

Nothing here knows what an arm computes. The clock is a parameter, so that tests need no time.
"""

import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from time import perf_counter_ns
from typing import NamedTuple

import numpy as np

Call = Callable[[], object]

# A sample is at least this long: the clock and the loop around a call are then below 0.01 %.
SAMPLE_NS = 2_000_000
# An order-statistic interval of the median at 95 % needs six values.
MIN_ROUNDS = 6
# On all cores: how long the pools of the arm before may still spin (measured: 10 ms).
PRIME_NS = 10_000_000


class Clock(NamedTuple):
    """wall_ns: a steady clock. delay_ns: how long this thread was ready to run, but did not."""

    wall_ns: Callable[[], int]
    delay_ns: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Sample:
    """One timing of one arm. calls: how many calls it holds; wall and delay are of all of them."""

    round: int
    position: int
    arm: str
    calls: int
    wall_ns: int
    delay_ns: int


def thread_clock() -> Clock:
    """The clock of the calling thread; delay is always 0 where the kernel does not tell it."""
    try:
        file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        os.pread(file, 64, 0).split()[1]
    except (OSError, IndexError):
        return Clock(perf_counter_ns, lambda: 0)
    # The second field is the run delay; reading it so takes about 1 us.
    return Clock(perf_counter_ns, lambda: int(os.pread(file, 64, 0).split()[1]))


def run(
    arms: dict[str, Call],
    clock: Clock,
    *,
    rounds: int,
    budget_s: float,
    all_cores: bool,
    seed: int,
) -> list[Sample]:
    """Samples of every arm, `rounds` of them unless the budget ends first; at least MIN_ROUNDS."""
    calls = {arm: _calls_per_sample(call, clock) for arm, call in arms.items()}
    samples: list[Sample] = []
    start = clock.wall_ns()
    gc.collect()
    gc.disable()
    try:
        for number, order in enumerate(_orders(tuple(arms), rounds, seed)):
            if number >= MIN_ROUNDS and clock.wall_ns() - start > budget_s * 1e9:
                break
            for position, arm in enumerate(order):
                _prime(arms[arm], all_cores, clock)
                sample = _sample(arms[arm], calls[arm], clock)
                samples.append(Sample(number, position, arm, calls[arm], *sample))
    finally:
        gc.enable()
    return samples


def seconds_of(call: Call, wall_ns: Callable[[], int] = perf_counter_ns) -> float:
    """Duration of one call."""
    before = wall_ns()
    call()
    return (wall_ns() - before) / 1e9


def _sample(call: Call, calls: int, clock: Clock) -> tuple[int, int]:
    """(wall, delay) of some calls. The delay is read inside the wall's interval: never longer."""
    wall, delay = clock.wall_ns(), clock.delay_ns()
    for _ in range(calls):
        call()
    delay = clock.delay_ns() - delay
    return clock.wall_ns() - wall, delay


def _orders(arms: Sequence[str], rounds: int, seed: int) -> list[tuple[str, ...]]:
    """Orders of the arms, all of them equally often, shuffled: each follows each other as often."""
    every = list(permutations(arms))
    rng = np.random.default_rng(seed)
    orders: list[tuple[str, ...]] = []
    while len(orders) < rounds:
        orders += [every[i] for i in rng.permutation(len(every))]
    return orders[:rounds]


def _calls_per_sample(call: Call, clock: Clock) -> int:
    """How many calls fill SAMPLE_NS, from the faster of two."""
    call()
    fastest = min(seconds_of(call, clock.wall_ns) for _ in range(2))
    return max(1, round(SAMPLE_NS / 1e9 / max(fastest, 1e-9)))


def _prime(call: Call, all_cores: bool, clock: Clock) -> None:
    """Untimed calls before a sample, which finds caches and pools as the arm itself leaves them."""
    start = clock.wall_ns()
    call()
    while all_cores and clock.wall_ns() - start < PRIME_NS:
        call()
