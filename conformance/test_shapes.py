"""Results have PyTorch's shapes; type, dtype and memory order as the contract says."""

from collections.abc import Callable

from conformance.checks import Check


def test_shapes(conform: Callable[[Check], None], check: Check) -> None:
    conform(check)
