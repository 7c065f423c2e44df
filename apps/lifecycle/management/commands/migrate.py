"""Django's `migrate`, which on PostgreSQL makes nobody wait for long, and tries again where others are in its way.

A change of a table waits for everybody who reads it (a dump, for as long as it takes), and whoever comes later waits
behind it. So each statement waits MIGRATE_LOCK_TIMEOUT at most; then its migration is taken back as a whole, the others
get their turn, and it is tried again until MIGRATE_TIMEOUT is over. It must not know what a migration does.
"""

import random
import time
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError, connections

from apps.lifecycle.migrating import Blockers, is_lock_conflict

LONGEST_PAUSE = 10.0  # seconds between two attempts


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> str | None:
        connection: Any = connections[options["database"]]
        self._current, self._atomic, self._postgresql = "a migration", True, connection.vendor == "postgresql"
        if not self._postgresql:
            return super().handle(*args, **options)
        connection.migration_lock_timeout = settings.MIGRATE_LOCK_TIMEOUT
        deadline = time.monotonic() + settings.MIGRATE_TIMEOUT
        pause = settings.MIGRATE_LOCK_TIMEOUT
        while True:
            with Blockers(connection.alias) as blockers:
                try:
                    return super().handle(*args, **options)
                except OperationalError as error:
                    if not (self._atomic and is_lock_conflict(error)):
                        raise
                    reason = " ".join(str(error.__cause__).split())
            self._wait(pause * random.uniform(0.8, 1.2), deadline, reason, blockers)  # noqa: S311 - no secret
            pause = min(pause * 1.5, LONGEST_PAUSE)

    def _wait(self, pause: float, deadline: float, reason: str, blockers: Blockers) -> None:
        """Leave the others their turn; CommandError where the time is over."""
        what = f"{self._current} was taken back ({reason.partition(' DETAIL')[0]}); in its way: {blockers.text()}."
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
