"""Changes psycopg's ConnectionPool: how many connections it keeps, and which threads wait for one.

It must not know why a connection is no longer useful.
"""

from psycopg_pool import ConnectionPool

from apps.lifecycle.dbpool.postgresql.sessions import Conn


class SizedPool(ConnectionPool[Conn]):
    """Grows only for a reason, shrinks at once, and can hand out its idle connections to be closed."""

    def _maybe_grow_pool(self) -> None:
        """Add one only for a waiting thread, or if there are too few. (`check()` asks for one each time.)"""
        if self._waiting or self._nconns < self._min_size:
            super()._maybe_grow_pool()

    def _shrink_pool(self) -> None:
        """Close all connections that were idle for `max_idle`, down to the minimum. (psycopg closes one each time.)"""
        for _ in range(self._nconns_min):
            super()._shrink_pool()
        self._nconns_min = len(self._pool)

    def take_idle(self, most: int | None = None) -> list[Conn]:
        """Take at most `most` idle connections out of the pool; None: all, and it keeps none from now on."""
        with self._lock:
            if most is None:
                self._min_size = 0
            count = len(self._pool) if most is None else min(most, len(self._pool))
            idle = [self._pool.popleft() for _ in range(count)]
            self._nconns -= count
        return idle

    def fail_waiting(self, error: Exception) -> None:
        """Raise `error` in each thread that waits for a connection."""
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        for client in waiting:
            client.fail(error)
