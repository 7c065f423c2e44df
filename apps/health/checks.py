"""The health checks, and the list of those that run: to add one, write a class with `run()` and name it in CHECKS.

It must not know when checks run, who asks for them, or how an answer looks.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import DatabaseError, ProgrammingError, connection, transaction
from health_check import HealthCheck
from health_check.exceptions import ServiceUnavailable, ServiceWarning

from apps.fleet import endpoint_manager, pool_manager, sync_coordinator
from apps.health import schema
from apps.lifecycle import dbpool, writes

LIMIT = timedelta(seconds=2)
"""How long a check may be in flight: from then on its component is unhealthy, without anybody waiting for it."""


CHECKOUT = 1.5
"""Seconds that a check waits for a connection of the dbpool."""


HOLD = 2.0
"""Seconds that a check has a connection: its statements end before, unless the server is frozen or unreachable."""


class NotInitialized(ServiceUnavailable):  # type: ignore[misc]
    """The component was never set up (its tables are missing), which is another thing than being broken."""


class MigrationsPending(ServiceUnavailable):  # type: ignore[misc]
    """The schema is older than the code."""


class NotWritable(ServiceUnavailable):  # type: ignore[misc]
    """The database answers, but takes no writes; `problem` is one of writes.PROBLEMS."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"the database takes no writes: {problem}")
        self.problem = problem


class Waits(ServiceWarning):  # type: ignore[misc]
    """It works, but somebody had to wait; `problem` says for what."""

    def __init__(self, message: str, problem: str) -> None:
        super().__init__(message)
        self.problem = problem


class Role(StrEnum):
    """What a failing check does to readiness."""

    DATABASE = "database"  # 503 `database_unhealthy`, and everything that needs the database is unhealthy too
    WRITES = "writes"  # 503 `database_not_writable`; what only reads goes on
    MIGRATIONS = "migrations"  # 503 `migrations_pending`
    DEPENDENCY = "dependency"  # 503 `dependencies_not_ready`, by name
    INFORMATION = "information"  # nothing: only shown, as a warning


@contextlib.contextmanager
def bounded_connection() -> Iterator[None]:
    """The database for one check: statements are short or cancelled, and the connection goes back afterwards.

    A thread that keeps its connection leaks one of the dbpool for each check.
    """
    try:
        if connection.vendor == "postgresql":
            with dbpool.background(timeout=CHECKOUT, hold=HOLD), transaction.atomic(), connection.cursor() as cursor:
                # LOCAL, so that it also holds, and ends, behind PgBouncer in transaction mode.
                cursor.execute("SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '1500ms'")
                yield
        else:
            yield  # in SQLite a transaction would take the write lock, and reads never wait
    finally:
        if not connection.in_atomic_block:  # a test's own transaction
            connection.close()


def is_waiting_for_others(error: BaseException) -> bool:
    """Whether PostgreSQL gave the statement up for a lock or for its time: others are busy, nothing is broken."""
    return getattr(error.__cause__, "sqlstate", None) in {"55P03", "57014"}


@dataclass
class Database(HealthCheck):  # type: ignore[misc]
    """The dbpool hands out a connection, the database answers on it, and it takes writes."""

    timeout: timedelta = field(default=LIMIT, repr=False)

    def run(self) -> None:
        if connection.vendor == "sqlite":
            self.look_at_the_file(str(connection.settings_dict["NAME"]))
        with bounded_connection(), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                # After a failover the old address may lead to a standby, which answers but takes no writes.
                # Without the right to use a schema its tables look as if no migration had made them.
                cursor.execute("SELECT current_setting('transaction_read_only') = 'on', current_schema() IS NULL")
                read_only, no_schema = cursor.fetchone()
            else:
                # SQLite opens the file at the first statement, and reads it at the first that needs the schema.
                cursor.execute("SELECT count(*) FROM sqlite_schema")
                read_only = no_schema = False
        if read_only:
            raise ServiceUnavailable("the database is read-only")
        if no_schema:
            raise ServiceUnavailable("the role may use no schema of its search path: GRANT USAGE ON SCHEMA")

    @staticmethod
    def look_at_the_file(name: str) -> None:
        """Raise ServiceUnavailable for a file that is missing (opening it would make an empty one) or read-only."""
        if name == ":memory:" or name.startswith("file:"):
            return
        if not os.path.exists(name):
            raise ServiceUnavailable("the database file does not exist")
        if not (os.access(name, os.W_OK) and os.access(os.path.dirname(name) or ".", os.W_OK)):
            raise ServiceUnavailable("the database file, or its folder, is read-only")


@dataclass
class DatabaseWrites(HealthCheck):  # type: ignore[misc]
    """Writes that were due anyway have succeeded, the instance's heartbeat above all. It writes nothing itself."""

    timeout: timedelta = field(default=LIMIT, repr=False)

    def run(self) -> None:
        if problem := writes.problem():
            raise NotWritable(problem)


@dataclass
class Dbpool(HealthCheck):  # type: ignore[misc]
    """Nobody waits for a connection at the moment. It may happen under load: a warning, with which traffic goes on."""

    timeout: timedelta = field(default=LIMIT, repr=False)

    def run(self) -> None:
        if dbpool.writes_refused():
            text = "another program holds SQLite's write lock: writes are refused, reads go on"
            raise Waits(text, "write_lock_held")
        sample = dbpool.sample()
        if sample and sample.waiting and not sample.idle and sample.size >= sample.max_size:
            raise Waits(f"{sample.waiting} requests wait for a connection", "waits_for_connection")


@dataclass
class Migrations(HealthCheck):  # type: ignore[misc]
    """Every migration of this code has been applied. (Newer ones may be too: a rolling update.)"""

    timeout: timedelta = field(default=LIMIT, repr=False)

    def run(self) -> None:
        with bounded_connection():
            pending = schema.pending_migrations(connection)
        if pending:
            raise MigrationsPending(f"{len(pending)} migrations are pending")


@dataclass
class Component(HealthCheck):  # type: ignore[misc]
    """A part of the fleet proves that it can work, by its own `probe()`: a few bounded reads of its tables."""

    name: str
    probe: Callable[[], None] = field(repr=False)
    timeout: timedelta = field(default=LIMIT, repr=False)

    def run(self) -> None:
        try:
            with bounded_connection():
                self.probe()
        except DatabaseError as error:
            if is_waiting_for_others(error):
                raise Waits(f"{self.name} waits for a lock", "waits_for_lock") from error
            if isinstance(error, ProgrammingError) or "no such table" in str(error):
                raise NotInitialized(f"the tables of {self.name} are missing") from error
            raise


@dataclass(frozen=True)
class Registered:
    """One check that runs. `name` is how reports, metrics and `healthcheck --component` call it.

    `check` is any check of django-health-check. `advice` is shown to everybody: what to do about a failure, where
    `apps.health.words` knows none for the problem. `fails_with_database`: its own run needs no database, but it isn't
    healthy while the database can't be used.
    """

    name: str
    check: Any
    role: Role
    advice: str = ""
    needs_database: bool = True
    fails_with_database: bool = False

    @property
    def limit(self) -> float:
        """Seconds that the check may be in flight."""
        return float(self.check.timeout.total_seconds())


_COMPONENT = "Look for the error in the server's log."
CHECKS: tuple[Registered, ...] = (
    Registered(
        "database",
        Database(),
        Role.DATABASE,
        "See that it runs, that this server reaches it, and that it takes changes; the server's log has its words."
        if settings.DATABASE_TYPE == "postgresql"
        else "See that the database file exists, and that it and its folder can be written.",
        needs_database=False,
    ),
    Registered(
        "database_writes",
        DatabaseWrites(),
        Role.WRITES,
        "It can be read, but takes no changes: the runbook (docs/operations.md) has a section on that.",
    ),
    Registered(
        "dbpool",
        Dbpool(),
        Role.INFORMATION,
        _COMPONENT,
        needs_database=False,
        fails_with_database=settings.DATABASE_TYPE == "postgresql",
    ),
    Registered("migrations", Migrations(), Role.MIGRATIONS, _COMPONENT),
    Registered("pool_manager", Component("pool_manager", pool_manager.probe), Role.DEPENDENCY, _COMPONENT),
    Registered("sync_coordinator", Component("sync_coordinator", sync_coordinator.probe), Role.DEPENDENCY, _COMPONENT),
    Registered("endpoint_manager", Component("endpoint_manager", endpoint_manager.probe), Role.DEPENDENCY, _COMPONENT),
)
