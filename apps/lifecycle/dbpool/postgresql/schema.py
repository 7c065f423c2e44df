"""Django's schema editor with a time limit for waiting for locks. It must not know what a migration does."""

import sys
from typing import Any, Self

from django.db.backends.postgresql.schema import DatabaseSchemaEditor


class SchemaEditor(DatabaseSchemaEditor):
    """Inside a transaction each statement waits at most `connection.migration_lock_timeout` seconds for a lock.

    A statement that waits for an exclusive lock makes every later statement wait behind it, even those that only read.
    """

    connection: Any

    def __enter__(self) -> Self:
        super().__enter__()
        if self.atomic_migration and not self.collect_sql and self.connection.migration_lock_timeout:
            milliseconds = int(self.connection.migration_lock_timeout * 1000)
            with self.connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true), pg_backend_pid()", [str(milliseconds)])
                self.connection.migration_pid = cursor.fetchone()[1]
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            if error[0] is None:
                self._execute_deferred()
            super().__exit__(*error)
        finally:
            self.connection.migration_pid = None

    def _execute_deferred(self) -> None:
        """Execute what Django defers to the end. An error here must end the transaction, which Django leaves open."""
        try:
            while self.deferred_sql:
                self.execute(self.deferred_sql.pop(0), None)
        except BaseException:
            self.deferred_sql = []
            if self.atomic_migration:
                self.atomic.__exit__(*sys.exc_info())
            raise
