"""Gradients equal PyTorch's, for random grad_output, on exact, wide and real data."""

from collections.abc import Callable

from conformance.checks import Check


def test_gradients(conform: Callable[[Check], None], check: Check) -> None:
    conform(check)
