"""SIGTERM, SIGINT and SIGHUP: stop now, or after a shielded block. It must not know what the agent does."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Optional

from ..errors import Interrupted
from .stop_event import StopEvent

ONE_PRESS = 1.0  # seconds


class Signals:
    """`stop` is set as soon as a signal comes; the main thread gets Interrupted, unless it is in `shielded()`."""

    def __init__(self) -> None:
        self.stop = StopEvent()
        self.number: Optional[int] = None
        self.interrupts = 0
        """How often SIGINT came; repeats within a second count once."""
        self._interrupted = 0.0
        self._shields = 0

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._handle)

    def is_to_leave(self) -> bool:
        """Whether to leave a running pacman alone: after SIGTERM, or a second SIGINT.

        The sender of SIGTERM may be a hook that waits for the agent's end, while pacman waits for the hook.
        """
        return self.number == signal.SIGTERM or self.interrupts > 1

    def _handle(self, number: int, frame: Optional[FrameType]) -> None:
        self.stop.set()
        self.number = number
        if number == signal.SIGINT:
            self.interrupts += time.monotonic() > self._interrupted + ONE_PRESS
            self._interrupted = time.monotonic()
        if not self._shields:
            raise Interrupted(number)

    @contextlib.contextmanager
    def shielded(self) -> Iterator[None]:
        """Don't interrupt the block: a signal is only remembered."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
