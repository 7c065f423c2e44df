"""How long a thread waits for SQLite's write lock, and how many threads do at once. It must not know SQL.

Another program that holds the lock (a backup tool, a shell) would otherwise take a thread for the whole timeout for
each write, until none is left for reads.
"""

import contextlib
import threading
from collections.abc import Iterator
from sqlite3 import OperationalError

REFUSING = 0.1
"""Seconds that a write waits after another one has waited in vain, until one succeeds."""
FOR_A_PLACE = 2.0
"""Seconds that a write waits for a place among those that wait for the lock."""
LOCKED = "database is locked"


class Writers:
    """The threads of this process that want the write lock: `places` of them wait at once, for `seconds` at most."""

    def __init__(self, places: int, seconds: float) -> None:
        self.seconds = seconds
        self._places = threading.BoundedSemaphore(places)
        self.refusing = False

    @contextlib.contextmanager
    def waiting(self) -> Iterator[float]:
        """While the lock is waited for; gives the seconds for it. Raises sqlite3.OperationalError without a place."""
        if not self._places.acquire(timeout=0 if self.refusing else FOR_A_PLACE):
            raise OperationalError(LOCKED)
        try:
            yield min(REFUSING, self.seconds) if self.refusing else self.seconds
            self.refusing = False
        except OperationalError as error:
            self.refusing = self.refusing or LOCKED in str(error)
            raise
        finally:
            self._places.release()
