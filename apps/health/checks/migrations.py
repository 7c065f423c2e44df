"""The check of the migrations: one read finds which ones the database still lacks. It must not apply any."""

import functools
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from health_check import HealthCheck

from apps.fleet.plural import counted
from apps.health.checks.bounded_connection import LIMIT, bounded_connection
from apps.health.checks.exceptions import MigrationsPending


@functools.cache
def migrations_of_the_code() -> dict[tuple[str, str], frozenset[tuple[str, str]]]:
    """Each migration on disk as (app, name), with those that it replaces. Read once: code doesn't change."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    return {
        key: frozenset(loader.replacements[key].replaces if key in loader.replacements else ())
        for key in loader.graph.nodes
    }


def pending_migrations(database: BaseDatabaseWrapper) -> list[tuple[str, str]]:
    """The migrations (app, name) that have not been applied, sorted. Raises DatabaseError."""
    applied = set(MigrationRecorder(database).applied_migrations())
    return sorted(
        key
        for key, replaced in migrations_of_the_code().items()
        if key not in applied and not (replaced and replaced <= applied)
    )


@dataclass
class MigrationsCheck(HealthCheck):  # type: ignore[misc]  # django-health-check has no types
    """Every migration of this code has been applied. (So may newer ones, in a rolling update.)"""

    timeout: timedelta = field(default=LIMIT, repr=False)

    def run(self) -> None:
        with bounded_connection():
            pending = pending_migrations(connection)
        if pending:
            raise MigrationsPending(f"{counted(len(pending), 'migration')} pending")
