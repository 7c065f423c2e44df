"""The check of the database. It must not know what its failure leads to."""

import os
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import connection
from health_check import HealthCheck
from health_check.exceptions import ServiceUnavailable

from apps.health.checks.bounded_connection import LIMIT, bounded_connection
from apps.health.checks.exceptions import LacksRight
from apps.lifecycle.dbpool import rights


@dataclass
class DatabaseCheck(HealthCheck):  # type: ignore[misc]  # django-health-check has no types
    """The dbpool hands out a connection, the database answers on it, and it takes writes."""

    timeout: timedelta = field(default=LIMIT, repr=False)

    def run(self) -> None:
        if connection.vendor == "sqlite":
            self.require_writable_file(str(connection.settings_dict["NAME"]))
        with bounded_connection(), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                # After a failover the old address may lead to a standby, which answers but takes no writes.
                # Without the right to use a schema, its tables look as if no migration had made them.
                cursor.execute("SELECT current_setting('transaction_read_only') = 'on', current_schema() IS NULL")
                read_only, no_schema = cursor.fetchone()
            else:
                # SQLite opens the file at the first statement, and reads it at the first one that needs the schema.
                cursor.execute("SELECT count(*) FROM sqlite_schema")
                read_only = no_schema = False
        if read_only:
            raise ServiceUnavailable("the database is read-only")
        if no_schema:
            raise LacksRight(rights.no_schema(connection))

    @staticmethod
    def require_writable_file(name: str) -> None:
        """Raise ServiceUnavailable if the file is missing or read-only. (Opening a missing one would create it.)"""
        if name == ":memory:" or name.startswith("file:"):
            return
        if not os.path.exists(name):
            raise ServiceUnavailable("the database file does not exist")
        if not (os.access(name, os.W_OK) and os.access(os.path.dirname(name) or ".", os.W_OK)):
            raise ServiceUnavailable("the database file, or its folder, is read-only")
