"""The dbpool as the rest of the program sees it: its numbers, its errors, and how to maintain and close it.

The dbpool itself is in the database backend, which this module must not import: it only asks the default connection.
On SQLite, and in processes that serve nothing, there is no dbpool.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from django.apps import apps
from django.db import InterfaceError, InternalError, OperationalError, connections
from django.db.backends.utils import CursorWrapper

from apps.lifecycle.dbpool import permits
from apps.lifecycle.shared_memory import memory
from apps.lifecycle.shared_memory.snapshots import DbpoolSample


@dataclass
class _State:
    allowed: bool = False


_state = _State()


class DbpoolExhausted(OperationalError):
    """Every connection is in use and none came back in time. The answer is 503 `busy` with `Retry-After`."""

    retry_after = 1  # seconds


class DatabaseUnavailable(OperationalError):
    """No connection can be made, or the dbpool is closed. The answer is 503 with `Retry-After`."""

    retry_after = 2  # seconds


class OutcomeUnknown(OperationalError):
    """The transaction may or may not be committed: its COMMIT was given up, or the connection broke during it.

    `timed_out`: it took longer than DB_COMMIT_TIMEOUT. The answer is 503 `outcome_unknown` with `Retry-After`.
    """

    retry_after = 2  # seconds

    def __init__(self, text: str, *, timed_out: bool) -> None:
        super().__init__(text)
        self.timed_out = timed_out


READ_ONLY = "25006"  # PostgreSQL's read_only_sql_transaction: we wrote to a server that has become a standby
IDLE_IN_TRANSACTION = "25P03"  # PostgreSQL ended the session: this process was idle in a transaction for too long
NOT_MIGRATED = frozenset({"42P01", "42703"})  # no such table, no such column
LOCKED = "55P03"  # lock_timeout: another session has held a row or a lock for too long


def is_unavailable(error: BaseException) -> bool:
    """Whether the database can't work at the moment; False if the request or the program is at fault."""
    if isinstance(error, InternalError):
        return sqlstate(error) in {READ_ONLY, IDLE_IN_TRANSACTION}
    return isinstance(error, OperationalError | InterfaceError)


def is_not_migrated(error: BaseException) -> bool:
    """Whether PostgreSQL has no such table or column. (SQLite's error counts as unavailable.)"""
    return sqlstate(error) in NOT_MIGRATED


def is_locked(error: BaseException) -> bool:
    """Whether the database works, but something else holds a lock for longer than this request may wait."""
    return sqlstate(error) == LOCKED or "database is locked" in str(error)  # the latter is SQLite


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's code behind a Django error."""
    return getattr(error.__cause__, "sqlstate", None)


class BackendDbpool(Protocol):
    """What a backend's dbpool offers."""

    def sample(self) -> DbpoolSample: ...
    def maintain(self) -> None: ...
    def give_back(self) -> None: ...
    def cancel(self) -> None: ...
    def close_for_good(self) -> None: ...


def allow(allowed: bool = True) -> None:
    """Set whether this process may make a dbpool: one that serves requests may, others have plain connections."""
    _state.allowed = allowed


def is_allowed() -> bool:
    return _state.allowed


def _dbpool() -> BackendDbpool | None:
    pool = getattr(cast(Any, connections["default"]), "dbpool", None)
    return cast("BackendDbpool | None", pool)


def sample() -> DbpoolSample | None:
    """The current numbers of this process's dbpool; None if it has none."""
    pool = _dbpool()
    return pool.sample() if pool else None


def execute_prepared(statement: str, parameters: Sequence[Any]) -> CursorWrapper:
    """The cursor of a statement that is executed again and again: where possible the database plans it only once.

    To be used with `with`. Columns are named in it, without `*`.
    """
    connection = connections["default"]
    if hasattr(connection, "execute_prepared"):
        return cast("CursorWrapper", connection.execute_prepared(statement, parameters))
    cursor = connection.cursor()
    cursor.execute(statement, parameters)
    return cursor


def writes_refused() -> bool:
    """Whether another program has SQLite's write lock, so that writes are refused; False on PostgreSQL."""
    return bool(getattr(cast(Any, connections["default"]), "writes_refused", False))


def publish() -> None:
    """Show the other workers the numbers of this process's dbpool, if it has one."""
    numbers = sample()
    if numbers:
        publish_sample(numbers)


def publish_sample(numbers: DbpoolSample) -> None:
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


def maintain() -> None:
    """Check the idle connections and refill the dbpool. May block for a few seconds."""
    pool = _dbpool()
    if pool:
        pool.maintain()


def give_back() -> None:
    """Close unused connections if another process of the instance needs them."""
    pool = _dbpool()
    if pool and (permits.replaced() or permits.wanted()):
        pool.give_back()


def cancel() -> None:
    """Cancel what this process's connections are still doing. Takes at most half a second."""
    pool = _dbpool()
    if pool:
        pool.cancel()


def close_for_good() -> None:
    """Close the dbpool of this process for good: a later query fails instead of opening it again."""
    connections.close_all()
    pool = _dbpool()
    if pool:
        pool.close_for_good()


def close_until_gone() -> None:
    """Close this thread's connection in a process that has no dbpool, and wait until its backend has ended."""
    connection = cast(Any, connections["default"])
    getattr(connection, "close_until_gone", connection.close)()


def close_before_fork() -> None:
    """Leave no connection that a child would share: two processes on one backend get each other's results.

    A master that has not loaded the apps has no connections. It must not ask for them here: Django would read the
    database settings and keep them, although a reload may change them.
    """
    if not apps.ready:
        return
    for connection in connections.all(initialized_only=True):
        connection.close()
        if hasattr(connection, "close_pool"):
            connection.close_pool()
