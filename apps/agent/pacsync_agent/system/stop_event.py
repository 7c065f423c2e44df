"""An event that a signal handler may set. It must not know who waits for it."""

from __future__ import annotations

import os
import select
import threading
from typing import Optional


class StopEvent(threading.Event):
    """It never waits for a lock, and once set it stays set.

    `threading.Event.set` needs a lock that the main thread may hold in `wait`. A signal handler, which runs
    in the main thread, would then wait for itself: https://docs.python.org/3/library/signal.html#signals-and-threads
    """

    def __init__(self) -> None:
        super().__init__()
        self._asked = False
        self._reader, self._writer = os.pipe()

    def __del__(self) -> None:
        os.close(self._reader)
        os.close(self._writer)

    def set(self) -> None:
        if not self._asked:
            self._asked = True
            os.write(self._writer, b".")  # never read, so that everyone who waits sees it

    def is_set(self) -> bool:
        return self._asked

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Wait at most `timeout` seconds; whether it is set."""
        if not self._asked:
            select.select([self._reader], [], [], timeout)
        return self._asked
