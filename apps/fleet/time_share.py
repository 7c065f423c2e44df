"""How much of a process's time goes into what may also be left to others. It must not know what that is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class TimeShare:
    """At most `at_once` seconds of processor time, which come back at `share` seconds for each second on the clock.

    Threads that begin in the same moment don't wait for each other: each of them may go beyond it once.
    """

    def __init__(self, share: float, at_once: float) -> None:
        self._share, self._most = share, at_once / share
        self._whole_at: float = 0.0  # when nothing is missing any more, on the clock of `time.monotonic`

    def is_left(self) -> bool:
        """Whether one more may begin now."""
        return max(0.0, self._whole_at - time.monotonic()) < self._most

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Count the time that this thread spends here."""
        began = time.thread_time()
        try:
            yield
        finally:
            spent = time.thread_time() - began
            self._whole_at = max(self._whole_at, time.monotonic()) + spent / self._share

    def clear(self) -> None:
        """Begin with all of it."""
        self._whole_at = 0.0
