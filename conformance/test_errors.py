"""Wrong calls are refused in words that name the argument, its value and the rule."""

from collections.abc import Callable

from conformance.checks import Check


def test_errors(conform: Callable[[Check], None], check: Check) -> None:
    conform(check)
