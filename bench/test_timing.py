"""Rounds and samples, on a clock that only the arms move."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise, permutations
from time import sleep

import pytest

from bench import timing

MS = 1_000_000


class FakeClock:
    """Arms move it by what they cost and by what they wait for a core."""

    def __init__(self) -> None:
        self.wall = self.delay = self.cpu = 0
        self.log: list[str] = []

    def arm(self, name: str, cost_ns: int, wait_ns: int = 0) -> Callable[[], object]:
        def call() -> None:
            self.log.append(name)
            self.wall += cost_ns + wait_ns
            self.delay += wait_ns
            self.cpu += cost_ns

        return call

    @property
    def clock(self) -> timing.Clock:
        return timing.Clock(lambda: self.wall, lambda: self.delay, lambda: self.cpu)


def run(
    fake: FakeClock, arms: dict[str, Callable[[], object]], **changes: object
) -> list[timing.Sample]:
    settings = {"rounds": 12, "budget_s": 60.0, "all_cores": False, "seed": [1], **changes}
    return timing.run(arms, fake.clock, **settings)  # type: ignore[arg-type]


def test_every_arm_has_one_sample_a_round_and_their_cost() -> None:
    fake = FakeClock()
    samples = run(fake, {"a": fake.arm("a", 3 * MS), "b": fake.arm("b", 5 * MS, 1 * MS)})
    assert Counter((s.round, s.arm) for s in samples) == Counter(
        (n, arm) for n in range(12) for arm in "ab"
    )
    assert {(s.arm, s.calls, s.wall_ns, s.delay_ns, s.cpu_ns) for s in samples} == {
        ("a", 1, 3 * MS, 0, 3 * MS),
        ("b", 1, 6 * MS, 1 * MS, 5 * MS),
    }


def test_short_calls_are_repeated_until_a_sample_is_long_enough() -> None:
    fake = FakeClock()
    samples = run(fake, {"a": fake.arm("a", MS // 10), "b": fake.arm("b", 7 * MS)})
    assert {(s.arm, s.calls, s.wall_ns) for s in samples} == {("a", 20, 2 * MS), ("b", 1, 7 * MS)}


@pytest.mark.parametrize("count", range(2, 9))
def test_williams_squares_balance_places_and_neighbors(count: int) -> None:
    square = timing.williams(count)
    assert len(square) == (count if count % 2 == 0 else 2 * count)
    places = Counter((place, arm) for order in square for place, arm in enumerate(order))
    assert set(places.values()) == {len(square) // count}
    assert len(places) == count**2
    followers = Counter(pair for order in square for pair in pairwise(order))
    assert set(followers.values()) == {len(square) // count}
    assert len(followers) == count * (count - 1)


def test_rounds_take_whole_shuffled_squares_from_their_seed() -> None:
    def orders(seed: int) -> list[tuple[str, ...]]:
        fake = FakeClock()
        samples = run(fake, {name: fake.arm(name, MS) for name in "abc"}, rounds=60, seed=[seed])
        return [
            tuple(s.arm for s in sorted(group, key=lambda s: s.position))
            for group in ([s for s in samples if s.round == n] for n in range(60))
        ]

    found = orders(1)
    for first in range(0, 60, 6):
        assert set(found[first : first + 6]) == set(permutations("abc"))
    assert found == orders(1) != orders(2)


def test_each_sample_is_primed_by_its_own_arm() -> None:
    fake = FakeClock()
    samples = run(fake, {"a": fake.arm("a", 3 * MS), "b": fake.arm("b", 5 * MS)}, rounds=6)
    calls = fake.log[6:]  # after the three calls that size each arm's samples
    assert calls == [s.arm for s in samples for _ in range(2)]


def test_on_all_cores_an_arm_is_primed_until_other_pools_have_stopped() -> None:
    fake = FakeClock()
    run(fake, {"a": fake.arm("a", 3 * MS)}, rounds=6, all_cores=True)
    assert len(fake.log) == 3 + 6 * (4 + 1)


def test_a_long_call_is_its_own_prime_on_one_thread() -> None:
    for all_cores, calls in ((False, 1), (True, 2)):
        fake = FakeClock()
        run(fake, {"a": fake.arm("a", 500 * MS)}, rounds=6, all_cores=all_cores)
        assert len(fake.log) == 1 + 6 * calls


def test_the_budget_ends_a_run_but_not_before_there_is_a_median() -> None:
    fake = FakeClock()
    slow = {"a": fake.arm("a", 100 * MS)}
    assert len(run(fake, slow, rounds=50, budget_s=0.05)) == timing.MIN_ROUNDS
    assert len(run(fake, slow, rounds=50, budget_s=2.0)) == 11


def test_the_real_clock_runs_and_its_delay_never_exceeds_a_sample() -> None:
    samples = timing.run(
        {"a": lambda: sum(range(1000))}, timing.thread_clock(), rounds=6, budget_s=9,
        all_cores=False, seed=[1],
    )  # fmt: skip
    assert all(0 <= s.delay_ns <= s.wall_ns for s in samples)
    assert all(s.wall_ns > 0 for s in samples)
    assert sum(s.cpu_ns for s in samples) > 0


def test_the_real_clock_counts_no_sleep_as_processor_time() -> None:
    wall, delay, cpu = timing.time_calls(lambda: sleep(0.05), 1, timing.thread_clock())
    assert wall >= 50 * MS
    assert delay + cpu < 50 * MS


def test_garbage_collection_is_back_after_a_run() -> None:
    import gc

    def fail() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        timing.run(
            {"a": fail}, timing.thread_clock(), rounds=6, budget_s=9, all_cores=False, seed=[1]
        )
    assert gc.isenabled()
