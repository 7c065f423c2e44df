"""Waiting for what a test needs, instead of sleeping. It must not know what for."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.1  # seconds; many tests wait at the same time, and each look costs the server, too


def until(condition: Callable[[], T], seconds: float = 20) -> T:
    """What `condition` returns once that is true; AssertionError when it isn't within so many seconds."""
    end, pause = time.monotonic() + seconds, FIRST_PAUSE
    while not (result := condition()):
        assert time.monotonic() < end, f"it did not become true within {seconds} s"
        time.sleep(pause)
        pause = min(1.2 * pause, LONGEST_PAUSE)
    return result
