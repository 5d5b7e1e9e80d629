"""Inputs stay, results are new, and nothing but the inputs changes a bit."""

from collections.abc import Callable

from conformance.checks import Check


def test_purity(conform: Callable[[Check], None], check: Check) -> None:
    conform(check)
