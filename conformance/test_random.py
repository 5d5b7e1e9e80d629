"""Random calls are answered as PyTorch does; the smallest that is not is told."""

from collections.abc import Callable

from conformance.checks import Check


def test_random(conform: Callable[[Check], None], check: Check) -> None:
    conform(check)
