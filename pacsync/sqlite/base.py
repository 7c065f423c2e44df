"""Django's SQLite backend, in which a statement that wants the write lock waits as writers.py allows.

Its files are private to their owner. It must not know which other program has the lock.
"""

from typing import Any

from django.db.backends.sqlite3 import base

from apps.lifecycle import private_files
from pacsync.sqlite.writers import Writers

# What takes the write lock outside of a transaction; inside, BEGIN IMMEDIATE has taken it.
WRITING = ("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE", "REPLACE")

_writers: dict[str, Writers] = {}


class Cursor(base.SQLiteCursorWrapper):
    """`wrapper` is the DatabaseWrapper that made it."""

    wrapper: "DatabaseWrapper"

    def execute(self, query: str, params: Any = None) -> Any:
        if self.connection.in_transaction or not query.startswith(WRITING):
            return super().execute(query, params)
        with self.wrapper.writers.waiting() as seconds:
            self.wrapper.wait_for_lock(seconds)
            return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        if self.connection.in_transaction or not query.startswith(WRITING):
            return super().executemany(query, param_list)
        with self.wrapper.writers.waiting() as seconds:
            self.wrapper.wait_for_lock(seconds)
            return super().executemany(query, param_list)


class DatabaseWrapper(base.DatabaseWrapper):
    """One connection of one thread; the writers are the process's."""

    _waits: float | None = None  # the timeout set in SQLite; None: the connection's own

    @property
    def writers(self) -> Writers:
        if self.alias not in _writers:
            places = int(self.settings_dict.get("WRITERS_WAITING", 1))
            _writers[self.alias] = Writers(places, float(self.settings_dict["OPTIONS"].get("timeout", 5)))
        return _writers[self.alias]

    @property
    def writes_refused(self) -> bool:
        """Whether the last write found that another program has the lock."""
        return self.writers.refusing

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        self._waits = None
        private_files.settle_sqlite(str(conn_params["database"]))
        return super().get_new_connection(conn_params)

    def wait_for_lock(self, seconds: float) -> None:
        """Have SQLite wait that long for the lock from now on."""
        if seconds != (self._waits or self.writers.seconds):
            self.connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
            self._waits = seconds

    def create_cursor(self, name: str | None = None) -> Cursor:
        cursor: Cursor = self.connection.cursor(factory=Cursor)
        cursor.wrapper = self
        return cursor
