"""The dbpool of one process: psycopg's ConnectionPool with what it lacks. It must not know Django's settings.

Added: a check at checkout that has a time limit, and what it finds empties the dbpool (suspicion.py says when); numbers
that count open connections instead of attempts; one connection that requests leave to background work; an end for
connections in use that will never answer (watch.py).
"""

import contextlib
import itertools
import logging
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import Connection, OperationalError
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from apps.lifecycle import dbpool as lifecycle
from apps.lifecycle import permits, phase
from apps.lifecycle.board import DbpoolSample
from apps.lifecycle.dbpool import DatabaseUnavailable, DbpoolExhausted
from pacsync.postgresql import cancelling, closing, commits, sessions
from pacsync.postgresql.options import explained
from pacsync.postgresql.suspicion import Suspicion, Verdict
from pacsync.postgresql.watch import Use, Watch

logger = logging.getLogger(__name__)

Conn = Connection[Any]
CLOSED = "the dbpool is closed: this process is shutting down"
UNREACHABLE = "no database connection can be made at the moment"
RESTART = 3.0  # seconds for which requests wait for a database that has gone; after that they are refused at once
AGAIN = 0.1  # seconds between attempts to connect meanwhile
LEAVE_TO_READERS = 1  # connections that requests which may change something don't take, so that reads go on
CHECK = 1.0  # seconds that the check of a connection may take, and half of what is left of a checkout at most
CHECK_LEAST = 0.5  # but no less, unless the whole checkout has less than 2 seconds: a busy server isn't a silent one
RESERVE_FROM = 3  # a dbpool of this size or more keeps one connection for background work


class Dbpool(ConnectionPool[Conn]):
    """`getconn` raises DbpoolExhausted or DatabaseUnavailable."""

    def __init__(self, *, configure: Any, silence: float = 0, direct: bool = True, **options: Any) -> None:
        """`silence`: seconds without an answer after which a connection in use is cut off; 0: never.

        `direct`: each connection is one session of a server, as it isn't behind PgBouncer.
        """
        self._connected: weakref.WeakSet[Conn] = weakref.WeakSet()
        self._out: dict[Conn, Use] = {}  # the connections in use
        self._numbers = threading.Lock()
        self._permits = threading.Lock()
        self._suspicion = Suspicion()
        self._direct = direct
        self._watch = Watch(self.in_use, self._suspicion, silence)
        self._failing_since: float | None = None  # when the first of the attempts failed that have failed since
        self._lost = self._exhausted = self._queued = self._opening = self._ending = 0
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
        sessions.tell_unreplicated(connection)
        connection.pacsync_server = sessions.server_of(connection, self._connect_seconds) if self._direct else None  # type: ignore[attr-defined]
        connection.pacsync_opened = time.monotonic()  # type: ignore[attr-defined]
        with self._numbers:
            self._connected.add(connection)

    @property
    def _connect_seconds(self) -> float:
        return float(self._resolve_kwargs().get("connect_timeout") or CHECK)

    def _check_or_drain(self, connection: Conn, seconds: float = CHECK) -> None:
        """Raise when the connection is dead, silent, or read-only where a new one may not be; it is closed then."""
        opened = getattr(connection, "pacsync_opened", 0.0)
        try:
            if self._suspicion.condemned(opened):
                raise OperationalError("the connection is from before the dbpool was emptied")
            read_only = sessions.is_read_only(connection, seconds)
        except Exception as error:
            with self._numbers:
                self._lost += 1
            connection.close()
            if seconds >= CHECK or not isinstance(error, sessions.Silent):  # else it may only be slow
                self._act(self._suspicion.dead(opened), f"a database connection was dead ({type(error).__name__})")
            raise
        verdict = self._suspicion.judge(opened, read_only=read_only)
        self._act(verdict, "a session is read-only" if read_only else "the database takes writes again")
        if verdict in (Verdict.DISCARD, Verdict.EMPTY):
            connection.close()
            raise OperationalError("the session is read-only")

    def _act(self, verdict: Verdict, reason: str) -> None:
        if verdict in (Verdict.EMPTY, Verdict.KEEP_AND_EMPTY):
            logger.warning("%s: emptying the dbpool", reason)
            self.drain()

    def refused_a_write(self, connection: Conn) -> None:
        """A statement failed because its session is read-only."""
        opened = getattr(connection, "pacsync_opened", 0.0)
        self._act(self._suspicion.judge(opened, read_only=True), "a session refused a write")

    def check_connection(self, conn: Conn) -> None:  # type: ignore[override]  # psycopg's is static, and has no limit
        self._check_or_drain(conn)

    def _getconn_with_check_loop(self, deadline: float) -> Conn:
        """psycopg's has no limit for the check, and then pauses for seconds before it takes the next connection."""
        reserve = min(CHECK_LEAST, (deadline - time.monotonic()) / 4)  # what the wait leaves to the check
        for attempt in itertools.count():
            connection = self._getconn_unchecked(deadline - reserve - time.monotonic())
            try:
                self._check_or_drain(connection, min(CHECK, max(reserve, (deadline - time.monotonic()) / 2)))
            except BaseException as error:
                self._putconn(connection, from_getconn=True)
                if not isinstance(error, Exception):
                    raise
            else:
                return connection
            time.sleep(min(0.02 * attempt, AGAIN))
        raise AssertionError("itertools.count() has no end")

    def _connect(self, timeout: float | None = None) -> Conn:
        """Connect, and log when that begins to fail and when it works again: not each attempt."""
        self._take_permit()
        began = time.monotonic()
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
        self._reached(connection, began)
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
            return sum(not connection.closed for connection in self._connected) + self._opening + self._ending

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
            with self._counted([connection]), closing.until_gone([connection]):
                connection.close()
        self._publish_permits()

    @contextlib.contextmanager
    def _counted(self, connections: Sequence[Conn]) -> Iterator[None]:
        """Count these on while they end inside: other threads take permits meanwhile, and their backends still live."""
        count = sum(not connection.closed for connection in connections)
        with self._numbers:
            self._ending += count
        try:
            yield
        finally:
            with self._numbers:
                self._ending -= count

    def _add_to_pool(self, conn: Conn) -> None:
        super()._add_to_pool(conn)
        if permits.replaced() or permits.wanted():
            self.give_back()

    # --- where it leads -------------------------------------------------------------------------------------------
    def _reached(self, connection: Conn, began: float) -> None:
        """Sessions on the server where new connections don't lead any more are of no use: a failover."""
        verdict = self._suspicion.reached(connection.pacsync_server, began)  # type: ignore[attr-defined]
        if verdict is Verdict.DISCARD:
            connection.close()
            raise OperationalError("new connections reach another server by now")
        self._act(verdict, "new connections reach another server")
        if verdict is Verdict.KEEP_AND_EMPTY:  # all but this one
            connection.pacsync_opened = connection._created_at = time.monotonic()  # type: ignore[attr-defined]
        if isinstance(self.kwargs, dict):
            self.kwargs = sessions.first_host(self.kwargs, connection)

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
            self._watch.begin()
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
            self._out[connection] = Use(request, lifecycle.hold_until())
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
            use = self._out.pop(conn, None)
            writer = conn in self._writers
            self._writers.discard(conn)
        try:
            super().putconn(conn)
        finally:
            if writer:
                self._for_writers.release()
            if use and use.request:
                self._for_requests.release()
            lifecycle.write(self.sample())

    def in_use(self) -> list[tuple[Conn, Use]]:
        """The connections in use at this moment."""
        with self._numbers:
            return list(self._out.items())

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
        """Close for good; a query that still runs is cancelled, so that no backend outlives this process.

        A worker that is replaced waits for its backends, since its successor opens its own then.
        """
        self.cancel()
        self._watch.end()
        with self._numbers:
            connected = [] if phase.leaving() else list(self._connected)
        with self._counted(connected), closing.until_gone(connected):
            self.close(timeout=1)
            for connection, _ in self.in_use():
                connection.close()

    def cancel(self, seconds: float = 0.5) -> None:
        """Cancel every query that runs, all at the same time; `seconds` at most."""
        cancelling.cancel([connection for connection, _ in self.in_use()], seconds)
