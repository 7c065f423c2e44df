"""The dbpool as the rest of the program sees it: its numbers, its errors, waking and closing it.

The dbpool itself is in the database backend, which this module must not import: it only asks the default connection.
On SQLite, and in processes that serve nothing, there is none.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any, Protocol, cast

from django.apps import apps
from django.db import InterfaceError, InternalError, OperationalError, connections

from apps.lifecycle import memory, permits
from apps.lifecycle.board import DbpoolSample

_thread = threading.local()


class DbpoolExhausted(OperationalError):
    """Every connection is in use and none came back in time. The answer is 503 `busy` with `Retry-After`."""

    retry_after = 1  # seconds


class DatabaseUnavailable(OperationalError):
    """No connection can be made, or the dbpool is closed. The answer is 503 with `Retry-After`."""

    retry_after = 2  # seconds


class OutcomeUnknown(OperationalError):
    """The transaction may have been committed, or not: its COMMIT was given up, or the connection broke in it.

    `timed_out`: it took longer than DB_COMMIT_TIMEOUT. The answer is 503 `outcome_unknown` with `Retry-After`.
    """

    retry_after = 2  # seconds

    def __init__(self, text: str, *, timed_out: bool) -> None:
        super().__init__(text)
        self.timed_out = timed_out


READ_ONLY = "25006"  # PostgreSQL's read_only_sql_transaction: we write to what has become a standby
IDLE_IN_TRANSACTION = "25P03"  # PostgreSQL ended the session: this process did nothing for too long in a transaction
LOCKED = "55P03"  # lock_timeout: somebody else has a row or a lock for too long


def is_unavailable(error: BaseException) -> bool:
    """Whether the database can't do its work at the moment, as opposed to a fault of the request or of the program."""
    if isinstance(error, InternalError):
        return sqlstate(error) in {READ_ONLY, IDLE_IN_TRANSACTION}
    return isinstance(error, OperationalError | InterfaceError)


def is_locked(error: BaseException) -> bool:
    """Whether the database works, but somebody else holds what this request needs, for longer than it may wait."""
    return sqlstate(error) == LOCKED or "database is locked" in str(error)  # the latter is SQLite


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's code behind an error of Django's."""
    return getattr(error.__cause__, "sqlstate", None)


class Dbpool(Protocol):
    """What a backend's dbpool offers."""

    def sample(self) -> DbpoolSample: ...
    def maintain(self) -> None: ...
    def give_back(self) -> None: ...
    def cancel(self) -> None: ...


def _dbpool() -> Dbpool | None:
    pool = getattr(cast(Any, connections["default"]), "dbpool", None)
    return cast("Dbpool | None", pool)


def sample() -> DbpoolSample | None:
    """The numbers of this process's dbpool at this moment; None when it has none."""
    pool = _dbpool()
    return pool.sample() if pool else None


def writes_refused() -> bool:
    """Whether another program has SQLite's write lock, so that writes are refused; False on PostgreSQL."""
    return bool(getattr(cast(Any, connections["default"]), "writes_refused", False))


def publish() -> None:
    """Put the current numbers on the board."""
    numbers = sample()
    if numbers:
        write(numbers)


def write(numbers: DbpoolSample) -> None:
    memory.mine().publish(
        (
            numbers.size,
            numbers.idle,
            numbers.active,
            numbers.waiting,
            numbers.min_size,
            numbers.max_size,
            numbers.exhausted,
            numbers.errors,
        )
    )


def wake() -> None:
    """Check the idle connections and refill the dbpool: the database is back. May block for some seconds."""
    pool = _dbpool()
    if pool:
        pool.maintain()


def give_back() -> None:
    """Close connections that nobody uses, when another process of the instance needs them."""
    pool = _dbpool()
    if pool and (permits.replaced() or permits.wanted()):
        pool.give_back()


def cancel() -> None:
    """Cancel what this process's connections are still doing. Takes half a second at most."""
    pool = _dbpool()
    if pool:
        pool.cancel()


def shut() -> None:
    """Close the dbpool of this process for good: a later query fails instead of opening it again."""
    connections.close_all()
    close = getattr(cast(Any, connections["default"]), "shut_dbpool", None)
    if close:
        close()


def close_until_gone() -> None:
    """Close this thread's connection in a process that has no dbpool, and wait until its backend has ended."""
    connection = cast(Any, connections["default"])
    getattr(connection, "close_until_gone", connection.close)()


def close_before_fork() -> None:
    """Leave no connection that a child would share: two processes on one backend get each other's results.

    A master that has not loaded the apps has none, and must not keep the databases of settings that a reload changes.
    """
    if not apps.ready:
        return
    for connection in connections.all(initialized_only=True):
        connection.close()
        if hasattr(connection, "close_pool"):
            connection.close_pool()


def mark_background(value: bool = True) -> None:
    """Whether this thread does background work: it may use the connection that requests can't take."""
    _thread.background = value


def is_background() -> bool:
    return getattr(_thread, "background", False)


def mark_writer(value: bool) -> None:
    """Whether this thread serves a request that may change something: some connections are left to the others."""
    _thread.writer = value


def is_writer() -> bool:
    return getattr(_thread, "writer", False)


@contextlib.contextmanager
def commits_within(seconds: float) -> Iterator[None]:
    """Inside, a COMMIT of this thread is given up after `seconds` if that is less than DB_COMMIT_TIMEOUT."""
    before = commit_limit()
    _thread.commit_limit = seconds
    try:
        yield
    finally:
        _thread.commit_limit = before


def commit_limit() -> float:
    return getattr(_thread, "commit_limit", float("inf"))


@contextlib.contextmanager
def background(*, timeout: float | None = None, hold: float | None = None) -> Iterator[None]:
    """Inside, this thread does background work and waits `timeout` seconds at most for a connection.

    It has the connection for `hold` seconds at most: then it is cut off, even if the server is frozen.
    """
    before = is_background(), checkout_timeout(), getattr(_thread, "hold", None)
    _thread.background, _thread.timeout, _thread.hold = True, timeout, hold
    try:
        yield
    finally:
        _thread.background, _thread.timeout, _thread.hold = before


def checkout_timeout() -> float | None:
    """How long this thread waits for a connection, in seconds; None: as the dbpool is set."""
    return getattr(_thread, "timeout", None)


def hold_until() -> float | None:
    """The monotonic time at which this thread must give back a connection that it takes now; None: no limit."""
    hold = getattr(_thread, "hold", None)
    return None if hold is None else time.monotonic() + hold
