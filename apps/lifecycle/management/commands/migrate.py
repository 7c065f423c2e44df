"""Django's `migrate`. On PostgreSQL it makes no session wait for long, and tries again if one is in its way.

A change of a table waits for every session that reads it (for a whole dump, if there is one), and later sessions wait
behind the change. So each statement waits at most MIGRATE_LOCK_TIMEOUT. Then its migration is rolled back, the other
sessions get their turn, and it is tried again until MIGRATE_TIMEOUT is up. It must not know what a migration does.
"""

import random
import time
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import DatabaseError, OperationalError, connections

from apps.lifecycle.dbpool import rights
from apps.lifecycle.migration_lock import Blockers, is_lock_conflict
from apps.lifecycle.printable import one_line

LONGEST_PAUSE = 10.0  # seconds between two attempts


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> str | None:
        connection: Any = connections[options["database"]]
        self._current, self._atomic, self._postgresql = "a migration", True, connection.vendor == "postgresql"
        if not self._postgresql:
            return super().handle(*args, **options)
        from apps.lifecycle.dbpool.postgresql.requirements import DatabaseUnfit  # it needs psycopg

        connection.migration_lock_timeout = settings.MIGRATE_LOCK_TIMEOUT
        deadline = time.monotonic() + settings.MIGRATE_TIMEOUT
        pause = settings.MIGRATE_LOCK_TIMEOUT
        while True:
            with Blockers(connection.alias) as blockers:
                try:
                    return super().handle(*args, **options)
                except DatabaseError as error:
                    lacks = rights.missing_right(error, connection)
                    if lacks:
                        raise CommandError(f"{self._current}: {lacks}") from None
                    if not isinstance(error, OperationalError):
                        raise
                    if isinstance(error.__cause__, DatabaseUnfit):
                        raise CommandError(str(error)) from None
                    if not (self._atomic and is_lock_conflict(error)):
                        raise
                    reason = " ".join(str(error.__cause__).split())
            self._wait(pause * random.uniform(0.8, 1.2), deadline, reason, blockers)  # noqa: S311 - no secret
            pause = min(pause * 1.5, LONGEST_PAUSE)

    def _wait(self, pause: float, deadline: float, reason: str, blockers: Blockers) -> None:
        """Let the other sessions have their turn. Raises CommandError when the time is up."""
        why = f"{reason.partition(' DETAIL')[0]}); in its way: {blockers.text()}"  # sessions name themselves
        what = one_line(f"{self._current} was rolled back ({why}.")
        if time.monotonic() + pause > deadline:
            raise CommandError(
                f"{what} Given up after {settings.MIGRATE_TIMEOUT:g} s (MIGRATE_TIMEOUT); nothing of it was applied."
            )
        self.stderr.write(f"{what} Trying again in {pause:.1f} s.")
        time.sleep(pause)

    def migration_progress_callback(self, action: str, migration: Any = None, fake: bool = False) -> None:
        if action in {"apply_start", "unapply_start"}:
            self._atomic = migration.atomic
            self._current = f"{migration.app_label}.{migration.name}"
            if self._postgresql and not migration.atomic and not fake:
                self.stderr.write(
                    f"{self._current} is not atomic: it waits for locks without a limit, is tried once, "
                    "and may be left half applied if it fails."
                )
        super().migration_progress_callback(action, migration, fake)
