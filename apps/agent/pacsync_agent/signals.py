"""SIGTERM, SIGINT and SIGHUP: stop now, or after what mustn't be interrupted. It must not know what is being done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Optional

from .errors import Interrupted


class Signals:
    """`stop` is set as soon as a signal comes; the main thread gets Interrupted, unless it is in `shielded()`."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.number: Optional[int] = None
        self._shields = 0

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._handle)

    def is_terminated(self) -> bool:
        """Whether SIGTERM came: whoever sent it may wait for the agent's end, and pacman for them (a hook)."""
        return self.number == signal.SIGTERM

    def _handle(self, number: int, frame: Optional[FrameType]) -> None:
        self.stop.set()
        self.number = number
        if not self._shields:
            raise Interrupted(number)

    @contextlib.contextmanager
    def shielded(self) -> Iterator[None]:
        """Nothing in here is interrupted: a signal is only remembered."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
