"""Equations that every right backend fulfills, exactly and without PyTorch: --oracle none."""

from collections.abc import Callable

from conformance.checks import Check


def test_axioms(conform: Callable[[Check], None], check: Check) -> None:
    conform(check)
