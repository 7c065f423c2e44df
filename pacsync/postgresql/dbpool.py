"""The dbpool of one process: psycopg's ConnectionPool with what it lacks. It must not know Django's settings.

Added: the first dead connection at a checkout empties the dbpool, so that no request meets the next dead one; numbers
that count open connections instead of attempts; one connection that requests leave to background work.
"""

import logging
import os
import select
import threading
import time
import weakref
from typing import Any

from psycopg import Connection, OperationalError
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from apps.lifecycle import dbpool as lifecycle
from apps.lifecycle import permits
from apps.lifecycle.board import DbpoolSample
from apps.lifecycle.dbpool import DatabaseUnavailable, DbpoolExhausted
from pacsync.postgresql import commits
from pacsync.postgresql.options import explained

logger = logging.getLogger(__name__)

Conn = Connection[Any]
CLOSED = "the dbpool is closed: this process is shutting down"
UNREACHABLE = "no database connection can be made at the moment"
RESTART = 3.0  # seconds for which requests wait for a database that has gone; after that they are refused at once
AGAIN = 0.1  # seconds between attempts to connect meanwhile
LEAVE_TO_READERS = 2  # connections that requests which may change something don't take, so that reads go on
GONE = 0.5  # seconds for which a connection's backend is waited for to end
RESERVE_FROM = 3  # a dbpool of this size or more keeps one connection for background work


class Dbpool(ConnectionPool[Conn]):
    """`getconn` raises DbpoolExhausted or DatabaseUnavailable."""

    def __init__(self, *, configure: Any, **options: Any) -> None:
        self._connected: weakref.WeakSet[Conn] = weakref.WeakSet()
        self._out: dict[Conn, bool] = {}  # the connections in use, and whether a request has them
        self._numbers = threading.Lock()
        self._permits = threading.Lock()
        self._emptied_at = 0.0
        self._failing_since: float | None = None  # when the first of the attempts failed that have failed since
        self._lost = self._exhausted = self._queued = self._opening = 0
        self._configure_more = configure
        # reconnect_timeout: an attempt that fails isn't repeated in the background, the next request makes a new one.
        super().__init__(
            open=False, configure=self._opened_one, check=self._check_or_drain, reconnect_timeout=0, **options
        )
        reserve = 1 if self.max_size >= RESERVE_FROM else 0
        self._for_requests = threading.BoundedSemaphore(self.max_size - reserve)
        self._for_writers = threading.BoundedSemaphore(max(1, self.max_size - reserve - LEAVE_TO_READERS))
        self._writers: set[Conn] = set()  # the connections that were taken from these

    def _opened_one(self, connection: Conn) -> None:
        self._configure_more(connection)
        commits.listen(connection)
        connection.pacsync_opened = time.monotonic()  # type: ignore[attr-defined]
        with self._numbers:
            self._connected.add(connection)

    def _check_or_drain(self, connection: Conn) -> None:
        """Raise when the connection is dead; then all of its age are taken for dead too."""
        try:
            self.check_connection(connection)
        except Exception:
            with self._numbers:
                self._lost += 1
                first = getattr(connection, "pacsync_opened", 0.0) > self._emptied_at
                if first:
                    self._emptied_at = time.monotonic()
            if first:
                logger.warning("a database connection was dead: emptying the dbpool")
                self.drain()
            raise

    def _connect(self, timeout: float | None = None) -> Conn:
        """Connect, and log when that begins to fail and when it works again: not each attempt."""
        self._take_permit()
        try:
            connection = super()._connect(timeout)
        except Exception as raised:
            error = explained(raised) if isinstance(raised, OperationalError) else raised
            if self._changed(failing=True):
                logger.warning("no database connection can be made: %s", " ".join(str(error).split()))
            raise error from raised
        finally:
            with self._numbers:
                self._opening -= 1
            self._publish_permits()
        if self._changed(failing=False):
            logger.info("database connections can be made again")
        return connection

    # --- what other workers may open meanwhile (apps/lifecycle/permits.py) -----------------------------------------
    def _take_permit(self) -> None:
        """Wait until the instance has a connection left for us: the worker that we replace may still have it."""
        end = time.monotonic() + self.timeout
        while not self._try_permit():
            if self.closed or time.monotonic() >= end:
                raise DbpoolExhausted("the instance's other workers have all of its database connections")
            time.sleep(permits.PAUSE)

    def _try_permit(self) -> bool:
        with self._permits:
            taken = permits.take(self._held())
            with self._numbers:
                self._opening += taken
        return taken

    def _held(self) -> int:
        with self._numbers:
            return sum(not connection.closed for connection in self._connected) + self._opening

    def _publish_permits(self) -> None:
        with self._permits:
            permits.publish(self._held())

    def give_back(self) -> None:
        """Close connections that nobody uses: one for a trial, all of a worker that is replaced."""
        with self._lock:
            count = len(self._pool) if permits.replaced() else min(1, len(self._pool))
            if permits.replaced():
                self._min_size = 0
            idle = [self._pool.popleft() for _ in range(count)]
            self._nconns -= count
        for connection in idle:
            _close_and_wait(connection)
        self._publish_permits()

    def _add_to_pool(self, conn: Conn) -> None:
        super()._add_to_pool(conn)
        if permits.replaced() or permits.wanted():
            self.give_back()

    def _changed(self, *, failing: bool) -> bool:
        with self._numbers:
            before = self._failing_since
            if failing != (before is not None):
                self._failing_since = time.monotonic() if failing else None
        return failing != (before is not None)

    def _restarting(self) -> bool:
        """Whether connecting has begun to fail only now: so short an outage (a restart, a failover) is waited out."""
        with self._numbers:
            return self._failing_since is not None and time.monotonic() < self._failing_since + RESTART

    def reconnect_failed(self) -> None:
        """An attempt to connect has failed, and is over: who waits for a connection needn't wait any longer.

        Unless connections are in use: one of them may come back, and PostgreSQL may only have refused one more.
        """
        super().reconnect_failed()
        with self._numbers:
            if any(not connection.closed for connection in self._out):
                return
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        for client in waiting:
            client.fail(DatabaseUnavailable(UNREACHABLE))

    def _maybe_grow_pool(self) -> None:
        """One more connection for somebody who waits, or below the minimum. (`check()` asks for one each time.)"""
        if self._waiting or self._nconns < self._min_size:
            super()._maybe_grow_pool()

    def _shrink_pool(self) -> None:
        """Close all that nobody needed for `max_idle`, down to the minimum. (psycopg closes one each time.)"""
        for _ in range(self._nconns_min):
            super()._shrink_pool()
        self._nconns_min = len(self._pool)

    def open_once(self) -> None:
        """Open at the first use. Raises DatabaseUnavailable when it was closed: it doesn't come back."""
        if not self.closed:
            return
        try:
            self.open()
        except PoolClosed as error:
            raise DatabaseUnavailable(CLOSED) from error

    def getconn(self, timeout: float | None = None) -> Conn:
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        if lifecycle.is_background():
            return self._take(end, request=False)
        if not lifecycle.is_writer():
            return self._take_for_request(end)
        if not self._admit_writer(end):
            raise self._exhaustion("that changes may use")
        try:
            connection = self._take_for_request(end)
        except BaseException:
            self._for_writers.release()
            raise
        with self._numbers:
            self._writers.add(connection)
        return connection

    def _take_for_request(self, end: float) -> Conn:
        if not self._admit(self._for_requests, end - time.monotonic()):
            raise self._refusal()
        try:
            return self._take(end, request=True)
        except BaseException:
            self._for_requests.release()
            raise

    def _take(self, end: float, *, request: bool) -> Conn:
        try:
            connection = self._wait_for_one(end, patient=request)
        except (PoolTimeout, TooManyRequests) as error:
            raise self._refusal() from error
        except PoolClosed as error:
            raise DatabaseUnavailable(CLOSED) from error
        with self._numbers:
            self._out[connection] = request
        lifecycle.write(self.sample())
        return connection

    def _wait_for_one(self, end: float, *, patient: bool) -> Conn:
        while True:
            try:
                return super().getconn(max(0.01, end - time.monotonic()))
            except DatabaseUnavailable:
                if not patient or time.monotonic() + AGAIN > end or not self._restarting():
                    raise
            time.sleep(AGAIN)

    def _admit_writer(self, end: float) -> bool:
        """The same, for one of those that changes may use. While a COMMIT hangs nobody waits: a request that waits
        takes a reader's place in this process, too."""
        while not self._admit(self._for_writers, min(AGAIN, end - time.monotonic())):
            if time.monotonic() >= end or commits.are_slow():
                return False
        return True

    def _admit(self, places: threading.BoundedSemaphore, seconds: float) -> bool:
        """Wait for one of the connections that requests may use; not at all when `max_waiting` wait already."""
        if places.acquire(blocking=False):
            return True
        with self._numbers:
            if self.max_waiting and self._queued >= self.max_waiting:
                return False
            self._queued += 1
        try:
            return places.acquire(timeout=max(0.0, seconds))
        finally:
            with self._numbers:
                self._queued -= 1

    def _refusal(self) -> Exception:
        with self._numbers:
            spare = self.max_size - len(self._out)
            busy = spare <= 0 or (spare <= 1 and self.max_size >= RESERVE_FROM and not lifecycle.is_background())
        if busy:
            return self._exhaustion(f"({self.max_size}) of this worker")
        lifecycle.write(self.sample())
        return DatabaseUnavailable(UNREACHABLE)

    def _exhaustion(self, which: str) -> DbpoolExhausted:
        with self._numbers:
            self._exhausted += 1
        lifecycle.write(self.sample())
        return DbpoolExhausted(f"all database connections {which} are in use")

    def putconn(self, conn: Conn) -> None:
        with self._numbers:
            request = self._out.pop(conn, False)
            writer = conn in self._writers
            self._writers.discard(conn)
        try:
            super().putconn(conn)
        finally:
            if writer:
                self._for_writers.release()
            if request:
                self._for_requests.release()
            lifecycle.write(self.sample())

    def sample(self) -> DbpoolSample:
        """The numbers now. `size` counts sockets that are open, as pg_stat_activity does."""
        stats = self.get_stats()
        with self._numbers:
            size = sum(not connection.closed for connection in self._connected)
            active = sum(not connection.closed for connection in self._out)
            return DbpoolSample(
                size=size,
                idle=max(0, size - active),
                active=active,
                waiting=self._queued + stats.get("requests_waiting", 0),
                min_size=self.min_size,
                max_size=self.max_size,
                exhausted=self._exhausted,
                errors=self._lost + stats.get("connections_errors", 0) + stats.get("connections_lost", 0),
            )

    def maintain(self) -> None:
        """Retire idle connections that are too old or dead, and refill; does nothing once closed."""
        if not self.closed and not permits.replaced():
            self.check()
        self._publish_permits()
        lifecycle.write(self.sample())

    def abandon(self) -> None:
        """Close for good; a query that still runs is cancelled, so that no backend outlives this process."""
        self.cancel()
        self.close(timeout=1)
        with self._numbers:
            stuck = list(self._out)
        for connection in stuck:
            connection.close()

    def cancel(self, seconds: float = 0.5) -> None:
        """Cancel every query that runs, all at the same time; `seconds` at most."""
        with self._numbers:
            busy = list(self._out)
        threads = [threading.Thread(target=_cancel, args=(connection, seconds), daemon=True) for connection in busy]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))


def _close_and_wait(connection: Conn) -> None:
    """Close, and return when PostgreSQL has closed its end: then the backend is gone, and another one may come."""
    if connection.closed:
        return
    other_end = os.dup(connection.fileno())
    try:
        connection.close()
        select.select([other_end], [], [], GONE)
    finally:
        os.close(other_end)


def _cancel(connection: Conn, seconds: float) -> None:
    try:
        connection.cancel_safe(timeout=seconds)
    except Exception as error:
        logger.warning("couldn't cancel a query that still ran: %s", type(error).__name__)
