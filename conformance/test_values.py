"""Outputs equal PyTorch's, on exact, wide and real data."""

from collections.abc import Callable

from conformance.checks import Check


def test_values(conform: Callable[[Check], None], check: Check) -> None:
    conform(check)
