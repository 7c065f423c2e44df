"""Which requests may ask the dbpool for a connection: some connections are kept for background work, some for reads.

It must not know about connections: it counts places.
"""

import threading
import time

from apps.lifecycle.dbpool.postgresql import commits

RESERVE_FROM = 3  # a dbpool of this size or more keeps one connection for background work
LEAVE_TO_READERS = 1  # connections that only reading requests may take, so that reads still work
PAUSE = 0.1  # seconds between two attempts of a request that may change something


class Admission:
    """Places for the requests of one process; at most `max_waiting` of them wait for one (0 for no limit)."""

    def __init__(self, max_size: int, max_waiting: int) -> None:
        self.reserve = 1 if max_size >= RESERVE_FROM else 0
        self.waiting = 0
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._requests = threading.BoundedSemaphore(max_size - self.reserve)
        self._writers = threading.BoundedSemaphore(max(1, max_size - self.reserve - LEAVE_TO_READERS))

    def admit_request(self, end: float) -> bool:
        """Wait for a place until the monotonic time `end`; False if there is none. Each True needs `leave_request`."""
        return self._admit(self._requests, end - time.monotonic())

    def leave_request(self) -> None:
        self._requests.release()

    def admit_writer(self, end: float) -> bool:
        """Like `admit_request`, for a request that may change something; it needs both places.

        While a COMMIT hangs it doesn't wait: a waiting request takes a thread that a reader could have.
        """
        while not self._admit(self._writers, min(PAUSE, end - time.monotonic())):
            if time.monotonic() >= end or commits.are_slow():
                return False
        return True

    def leave_writer(self) -> None:
        self._writers.release()

    def _admit(self, places: threading.BoundedSemaphore, seconds: float) -> bool:
        """Wait for one of the places, unless `max_waiting` requests already wait."""
        if places.acquire(blocking=False):
            return True
        with self._lock:
            if self._max_waiting and self.waiting >= self._max_waiting:
                return False
            self.waiting += 1
        try:
            return places.acquire(timeout=max(0.0, seconds))
        finally:
            with self._lock:
                self.waiting -= 1
