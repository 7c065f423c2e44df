"""Which sessions hold the lock that a migration waits for. It must not know what is migrated or how long it tries."""

import contextlib
import threading
from types import TracebackType
from typing import Any, NamedTuple, Self

from django.db import Error, OperationalError, connections

LOCK_CONFLICTS = {"55P03", "40P01"}  # lock_not_available (by lock_timeout), deadlock_detected
INTERVAL = 0.3  # seconds between two questions
# PostgreSQL shows only the pid for sessions of other roles, unless ours is in pg_read_all_stats.
QUESTION = """
SELECT pid, coalesce(application_name, ''), coalesce(usename, ''),
       extract(epoch FROM clock_timestamp() - xact_start)::int,
       extract(epoch FROM clock_timestamp() - query_start)::int, coalesce(state, '')
FROM pg_stat_activity WHERE pid = ANY(pg_blocking_pids(%s)) ORDER BY xact_start
"""


class Blocker(NamedTuple):
    """One session that is in the way. Ages are in seconds; None if PostgreSQL doesn't show them."""

    pid: int
    application: str
    user: str
    transaction_age: int | None
    query_age: int | None
    state: str

    def __str__(self) -> str:
        known = [self.application or "no application_name", self.user and f"user {self.user}", self.state]
        if self.transaction_age is not None:
            known.append(f"transaction {self.transaction_age} s old")
        if self.query_age is not None:
            known.append(f"query {self.query_age} s old")
        return f"pid {self.pid} ({', '.join(filter(None, known))})"


def is_lock_conflict(error: OperationalError) -> bool:
    """Whether another session was in the way, so that a second attempt may work."""
    return getattr(error.__cause__, "sqlstate", None) in LOCK_CONFLICTS


class Blockers:
    """Inside `with`, a thread asks which sessions block the migration of the connection `alias`: see `seen`."""

    def __init__(self, alias: str) -> None:
        self.seen: list[Blocker] = []
        self._alias = alias
        self._migrating: Any = connections[alias]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="migration-blockers", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        ours = connections.create_connection(self._alias)
        try:
            while not self._stop.wait(INTERVAL):
                self._ask(ours)
        finally:
            with contextlib.suppress(Error):
                ours.close()

    def _ask(self, ours: Any) -> None:
        pid = self._migrating.migration_pid
        if pid is None:
            return
        try:
            with ours.cursor() as cursor:
                cursor.execute(QUESTION, [pid])
                found = [Blocker(*row) for row in cursor.fetchall()]
        except Error:  # without a connection the reason stays unknown
            return
        self.seen = found or self.seen

    def text(self) -> str:
        """The sessions that were in the way, as part of a sentence."""
        return "; ".join(map(str, self.seen)) or "another session"
