"""Backends load."""

from collections.abc import Callable


def test_loads(load: Callable[[], None]) -> None:
    load()
