"""Waiting for what a test needs, instead of sleeping. It must not know what for."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], seconds: float = 20) -> T:
    """What `condition` returns once that is true; AssertionError when it isn't within so many seconds."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"it did not become true within {seconds} s"
        time.sleep(0.02)
    return result
