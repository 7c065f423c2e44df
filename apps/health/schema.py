"""Which migrations the database still lacks, by one read. It must not apply any."""

import functools

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder


@functools.cache
def migrations_of_the_code() -> dict[tuple[str, str], frozenset[tuple[str, str]]]:
    """Each migration on disk as (app, name), with those that it replaces. Read once: code does not change."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    return {
        key: frozenset(loader.replacements[key].replaces if key in loader.replacements else ())
        for key in loader.graph.nodes
    }


def pending_migrations(connection: BaseDatabaseWrapper) -> list[tuple[str, str]]:
    """The migrations (app, name) that have not been applied, sorted. Raises DatabaseError."""
    applied = set(MigrationRecorder(connection).applied_migrations())
    return sorted(
        key
        for key, replaced in migrations_of_the_code().items()
        if key not in applied and not (replaced and replaced <= applied)
    )
