"""Waiting for what a test needs, instead of sleeping. It must not know what for."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.1  # seconds; many tests wait at once, and each question costs the server, too


def until(
    condition: Callable[[], T],
    seconds: float = 20,
    *,
    every: float = LONGEST_PAUSE,
    ignoring: tuple[type[Exception], ...] = (),
    otherwise: Callable[[], object] = str,
) -> T:
    """Ask `condition`, with pauses of at most `every` seconds, until it is true; what it returned.

    An error of a class in `ignoring` counts as not yet. AssertionError after `seconds`, with what `otherwise` returns.
    """
    end, pause = time.monotonic() + seconds, FIRST_PAUSE
    while True:
        last: object = None
        try:
            if result := condition():
                return result
            last = result
        except ignoring as error:
            last = error
        if time.monotonic() >= end:
            raise AssertionError(f"it did not become true within {seconds} s: {last!r} {otherwise()}")
        time.sleep(pause)
        pause = min(1.2 * pause, every)
