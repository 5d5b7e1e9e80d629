"""NaN, infinities, zeros of both signs and ties, where PyTorch's answer is exact."""

from collections.abc import Callable

from conformance.checks import Check


def test_specials(conform: Callable[[Check], None], check: Check) -> None:
    conform(check)
