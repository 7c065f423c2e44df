"""How many connections this process has, as counted for the other workers of its instance (permits.py).

A connection counts from before it is opened until its backend in PostgreSQL has ended. It must not know what
connections are for.
"""

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence

from apps.lifecycle.dbpool import permits
from apps.lifecycle.dbpool.facade import DbpoolExhausted
from apps.lifecycle.dbpool.postgresql.sessions import Conn


class OpenConnections:
    """The connections of one dbpool. Thread-safe."""

    def __init__(self) -> None:
        self._connected: weakref.WeakSet[Conn] = weakref.WeakSet()
        self._opening = self._ending = 0
        self._lock = threading.Lock()
        self._permits = threading.Lock()  # held from counting to publishing, or an older count could be published last

    def add(self, connection: Conn) -> None:
        with self._lock:
            self._connected.add(connection)

    def all(self) -> list[Conn]:
        with self._lock:
            return list(self._connected)

    def count(self) -> int:
        """How many sockets are open, as pg_stat_activity counts them."""
        with self._lock:
            return sum(not connection.closed for connection in self._connected)

    def held(self) -> int:
        """How many count towards the instance's budget: open ones, and those that are being opened or closed."""
        with self._lock:
            return sum(not connection.closed for connection in self._connected) + self._opening + self._ending

    def begin_opening(self, end: float, *, given_up: Callable[[], bool]) -> None:
        """Wait until the monotonic time `end` for a permit for one more: the worker that we replace may still have it.

        Call `end_opening` afterwards. Raises DbpoolExhausted if there is no permit.
        """
        while not self._take_permit():
            if given_up() or time.monotonic() >= end:
                raise DbpoolExhausted("the instance's other workers have all of its database connections")
            time.sleep(permits.PAUSE)

    def _take_permit(self) -> bool:
        with self._permits:
            taken = permits.take(self.held())
            with self._lock:
                self._opening += taken
        return taken

    def end_opening(self) -> None:
        """The attempt is over: the connection has been `add`ed, or the attempt has failed."""
        with self._lock:
            self._opening -= 1
        self.publish()

    @contextlib.contextmanager
    def ending(self, connections: Sequence[Conn]) -> Iterator[None]:
        """The caller closes these inside, and they still count: their backends live on while others take permits."""
        count = sum(not connection.closed for connection in connections)
        with self._lock:
            self._ending += count
        try:
            yield
        finally:
            with self._lock:
                self._ending -= count

    def publish(self) -> None:
        """Show the other workers how many this process has."""
        with self._permits:
            permits.publish(self.held())
