"""Every kernel takes the arguments of the contract."""

from collections.abc import Callable

from conformance.checks import Check


def test_interface(conform: Callable[[Check], None], check: Check) -> None:
    conform(check)
