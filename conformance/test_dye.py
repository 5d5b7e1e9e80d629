"""One NaN colors exactly what it reaches: geometry, tails and the isolation of images."""

from collections.abc import Callable

from conformance.checks import Check


def test_dye(conform: Callable[[Check], None], check: Check) -> None:
    conform(check)
