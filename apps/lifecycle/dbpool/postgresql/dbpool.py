"""The dbpool of one process: psycopg's ConnectionPool plus what it lacks. It must not know Django's settings.

It adds a check at checkout with a time limit. Separate modules decide who may have a connection, which connections are
evicted, how many there are, and whether any can be made; this one puts them together.
"""

import itertools
import logging
import threading
import time
from typing import Any

from psycopg import OperationalError
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from apps.lifecycle.dbpool import facade, permits, thread_limits
from apps.lifecycle.dbpool.facade import DatabaseUnavailable, DbpoolExhausted
from apps.lifecycle.dbpool.postgresql import cancelling, closing, sessions
from apps.lifecycle.dbpool.postgresql.admission import Admission
from apps.lifecycle.dbpool.postgresql.eviction import Eviction, EvictionPolicy
from apps.lifecycle.dbpool.postgresql.open_connections import OpenConnections
from apps.lifecycle.dbpool.postgresql.outage import Outage
from apps.lifecycle.dbpool.postgresql.sessions import Conn
from apps.lifecycle.dbpool.postgresql.sizing import SizedPool
from apps.lifecycle.dbpool.postgresql.startup_options import explained
from apps.lifecycle.dbpool.postgresql.watchdog import Checkout, Watchdog
from apps.lifecycle.shared_memory import phase
from apps.lifecycle.shared_memory.snapshots import DbpoolSample

logger = logging.getLogger(__name__)

CLOSED = "the dbpool is closed: this process is shutting down"
UNREACHABLE = "no database connection can be made at the moment"
AGAIN = 0.1  # seconds between attempts to get a connection
CHECK = 1.0  # seconds that the check of a connection may take, but at most half of what is left of the checkout
CHECK_LEAST = 0.5  # but no less, unless the whole checkout has less than 2 seconds: a busy server isn't a silent one


class PostgresqlDbpool(SizedPool):
    """`getconn` raises DbpoolExhausted or DatabaseUnavailable."""

    def __init__(self, *, configure: Any, silence: float = 0, direct: bool = True, **options: Any) -> None:
        """`silence`: seconds without an answer after which a connection in use is cut off; 0: never.

        `direct`: each connection is one server session, because there is no PgBouncer in between.
        """
        self._connections = OpenConnections()
        self._outage = Outage()
        self._out: dict[Conn, Checkout] = {}  # the connections in use
        self._numbers = threading.Lock()
        self._policy = EvictionPolicy()
        self._direct = direct
        self._watchdog = Watchdog(self.in_use, self._policy, silence)
        self._lost = self._exhausted = 0
        self._configure_more = configure
        # reconnect_timeout: a failed attempt isn't repeated in the background; the next request makes a new one.
        super().__init__(
            open=False, configure=self._opened_one, check=self._check_or_evict, reconnect_timeout=0, **options
        )
        self._admission = Admission(self.max_size, self.max_waiting)

    def _opened_one(self, connection: Conn) -> None:
        self._configure_more(connection)
        sessions.tell_unreplicated(connection)
        connection.pacsync_server = sessions.server_of(connection, self._connect_seconds) if self._direct else None  # type: ignore[attr-defined]
        connection.pacsync_opened = time.monotonic()  # type: ignore[attr-defined]
        self._connections.add(connection)

    @property
    def _connect_seconds(self) -> float:
        return float(self._resolve_kwargs().get("connect_timeout") or CHECK)

    def _check_or_evict(self, connection: Conn, seconds: float = CHECK) -> None:
        """Close the connection and raise if it is dead, silent, or read-only although a new one may not be."""
        opened = getattr(connection, "pacsync_opened", 0.0)
        try:
            if self._policy.evicted(opened):
                raise OperationalError("the connection is from before the dbpool was emptied")
            read_only = sessions.is_read_only(connection, seconds)
        except Exception as error:
            with self._numbers:
                self._lost += 1
            connection.close()
            if seconds >= CHECK or not isinstance(error, sessions.Silent):  # otherwise it may just be slow
                self._act(self._policy.dead(opened), "a database connection was dead: " + str(error).partition("\n")[0])
            raise
        verdict = self._policy.answered(opened, read_only=read_only)
        self._act(verdict, "a session is read-only" if read_only else "the database takes writes again")
        if verdict in (Eviction.DISCARD, Eviction.EMPTY):
            connection.close()
            raise OperationalError("the session is read-only")

    def _act(self, verdict: Eviction, reason: str) -> None:
        if verdict in (Eviction.EMPTY, Eviction.KEEP_AND_EMPTY):
            logger.warning("%s: emptying the dbpool", reason)
            self.drain()

    def refused_a_write(self, connection: Conn) -> None:
        """A statement failed because its session is read-only."""
        opened = getattr(connection, "pacsync_opened", 0.0)
        self._act(self._policy.answered(opened, read_only=True), "a session refused a write")

    def check_connection(self, conn: Conn) -> None:  # type: ignore[override]  # psycopg's is static, and has no limit
        self._check_or_evict(conn)

    def _getconn_with_check_loop(self, deadline: float) -> Conn:
        """psycopg's has no time limit for the check, and pauses for seconds before it takes the next connection."""
        reserve = min(CHECK_LEAST, (deadline - time.monotonic()) / 4)  # what the wait leaves for the check
        for attempt in itertools.count():
            connection = self._getconn_unchecked(deadline - reserve - time.monotonic())
            try:
                self._check_or_evict(connection, min(CHECK, max(reserve, (deadline - time.monotonic()) / 2)))
            except BaseException as error:
                self._putconn(connection, from_getconn=True)
                if not isinstance(error, Exception):
                    raise
            else:
                return connection
            time.sleep(min(0.02 * attempt, AGAIN))
        raise AssertionError("itertools.count() has no end")

    def _connect(self, timeout: float | None = None) -> Conn:
        """Connect. Logs when that begins to fail and when it works again, not each attempt."""
        self._connections.begin_opening(time.monotonic() + self.timeout, given_up=lambda: self.closed)
        began = time.monotonic()
        try:
            connection = super()._connect(timeout)
        except Exception as raised:
            error = explained(raised) if isinstance(raised, OperationalError) else raised
            if self._outage.changed(failing=True):
                logger.warning("no database connection can be made: %s", " ".join(str(error).split()))
            raise error from raised
        finally:
            self._connections.end_opening()
        if self._outage.changed(failing=False):
            logger.info("database connections can be made again")
        self._reached(connection, began)
        return connection

    def give_back(self) -> None:
        """Close idle connections: all of them if this worker has been replaced, else one."""
        for connection in self.take_idle(None if permits.replaced() else 1):
            with self._connections.ending([connection]), closing.until_gone([connection]):
                connection.close()
        self._connections.publish()

    def _add_to_pool(self, conn: Conn) -> None:
        super()._add_to_pool(conn)
        if permits.replaced() or permits.wanted():
            self.give_back()

    def _reached(self, connection: Conn, began: float) -> None:
        """After a failover new connections reach another server, and sessions on the old one are useless."""
        verdict = self._policy.reached(connection.pacsync_server, began)  # type: ignore[attr-defined]
        if verdict is Eviction.DISCARD:
            connection.close()
            raise OperationalError("new connections now reach another server")
        self._act(verdict, "new connections reach another server")
        if verdict is Eviction.KEEP_AND_EMPTY:  # all but this one
            connection.pacsync_opened = connection._created_at = time.monotonic()  # type: ignore[attr-defined]
        if isinstance(self.kwargs, dict):
            self.kwargs = sessions.first_host(self.kwargs, connection)

    def reconnect_failed(self) -> None:
        """An attempt to connect has failed: the threads that wait for a connection needn't wait any longer.

        They do wait while connections are in use: one may come back, and PostgreSQL may only have refused one more.
        """
        super().reconnect_failed()
        with self._numbers:
            if any(not connection.closed for connection in self._out):
                return
        self.fail_waiting(DatabaseUnavailable(UNREACHABLE))

    def open_once(self) -> None:
        """Open at the first use. Raises DatabaseUnavailable if it was closed: it is never opened again."""
        if not self.closed:
            return
        try:
            self.open()
            self._watchdog.begin()
        except PoolClosed as error:
            raise DatabaseUnavailable(CLOSED) from error

    def getconn(self, timeout: float | None = None) -> Conn:
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        if thread_limits.is_background():
            return self._take(end, request=False)
        if not thread_limits.is_writer():
            return self._take_for_request(end)
        if not self._admission.admit_writer(end):
            raise self._exhaustion("that changes may use")
        try:
            return self._take_for_request(end, writer=True)
        except BaseException:
            self._admission.leave_writer()
            raise

    def _take_for_request(self, end: float, *, writer: bool = False) -> Conn:
        if not self._admission.admit_request(end):
            raise self._refusal()
        try:
            return self._take(end, request=True, writer=writer)
        except BaseException:
            self._admission.leave_request()
            raise

    def _take(self, end: float, *, request: bool, writer: bool = False) -> Conn:
        try:
            connection = self._wait_for_one(end, patient=request)
        except (PoolTimeout, TooManyRequests) as error:
            raise self._refusal() from error
        except PoolClosed as error:
            raise DatabaseUnavailable(CLOSED) from error
        with self._numbers:
            self._out[connection] = Checkout(request, thread_limits.hold_until(), writer)
        facade.publish_sample(self.sample())
        return connection

    def _wait_for_one(self, end: float, *, patient: bool) -> Conn:
        while True:
            try:
                return super().getconn(max(0.01, end - time.monotonic()))
            except DatabaseUnavailable:
                if not patient or time.monotonic() + AGAIN > end or not self._outage.is_short():
                    raise
            time.sleep(AGAIN)

    def _refusal(self) -> Exception:
        with self._numbers:
            spare = self.max_size - len(self._out)
            busy = spare <= (0 if thread_limits.is_background() else self._admission.reserve)
        if busy:
            return self._exhaustion(f"({self.max_size}) of this worker")
        facade.publish_sample(self.sample())
        return DatabaseUnavailable(UNREACHABLE)

    def _exhaustion(self, which: str) -> DbpoolExhausted:
        with self._numbers:
            self._exhausted += 1
        facade.publish_sample(self.sample())
        return DbpoolExhausted(f"all database connections {which} are in use")

    def putconn(self, conn: Conn) -> None:
        with self._numbers:
            checkout = self._out.pop(conn, None)
        try:
            super().putconn(conn)
        finally:
            if checkout and checkout.writer:
                self._admission.leave_writer()
            if checkout and checkout.request:
                self._admission.leave_request()
            facade.publish_sample(self.sample())

    def in_use(self) -> list[tuple[Conn, Checkout]]:
        """The connections currently in use."""
        with self._numbers:
            return list(self._out.items())

    def sample(self) -> DbpoolSample:
        """The current numbers. `size` counts open sockets, as pg_stat_activity does."""
        stats = self.get_stats()
        size = self._connections.count()
        with self._numbers:
            active = sum(not connection.closed for connection in self._out)
            return DbpoolSample(
                size=size,
                idle=max(0, size - active),
                active=active,
                waiting=self._admission.waiting + stats.get("requests_waiting", 0),
                min_size=self.min_size,
                max_size=self.max_size,
                exhausted=self._exhausted,
                errors=self._lost + stats.get("connections_errors", 0) + stats.get("connections_lost", 0),
            )

    def maintain(self) -> None:
        """Retire idle connections that are too old or dead, and refill; does nothing once closed."""
        if not self.closed and not permits.replaced():
            self.check()
        self._connections.publish()
        facade.publish_sample(self.sample())

    def close_for_good(self) -> None:
        """Close for good. Running queries are cancelled, so that no backend outlives this process.

        A replaced worker waits until its backends have ended, since its successor then opens its own.
        """
        self.cancel()
        self._watchdog.end()
        connected = [] if phase.leaving() else self._connections.all()
        with self._connections.ending(connected), closing.until_gone(connected):
            self.close(timeout=1)
            for connection, _ in self.in_use():
                connection.close()

    def cancel(self, seconds: float = 0.5) -> None:
        """Cancel all running queries at the same time, within `seconds`."""
        cancelling.cancel([connection for connection, _ in self.in_use()], seconds)
