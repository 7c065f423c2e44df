"""The list of the checks that run. To add one, write a class with `run()` in a module here, and name it in CHECKS.

They run in this order. `database` comes first, because what it finds decides whether the others run; add a new one
after it. This module must not know when checks run, for whom, or what an answer looks like.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.conf import settings

from apps.fleet import endpoint_manager, pool_manager, sync_coordinator
from apps.health.checks.database import DatabaseCheck
from apps.health.checks.database_writes import DatabaseWritesCheck
from apps.health.checks.dbpool import DbpoolCheck
from apps.health.checks.fleet import DependencyCheck
from apps.health.checks.migrations import MigrationsCheck


class Impact(StrEnum):
    """What a failing check does to readiness."""

    DATABASE = "database"  # 503 `database_unhealthy`, and everything that needs the database is unhealthy too
    WRITES = "writes"  # 503 `database_not_writable`; what only reads continues
    MIGRATIONS = "migrations"  # 503 `migrations_pending`
    DEPENDENCY = "dependency"  # 503 `dependencies_not_ready`, by name
    INFORMATION = "information"  # nothing: only shown, as a warning

    @property
    def critical(self) -> bool:
        """Whether requests fail while such a check fails: the instance is unhealthy, not only degraded."""
        return self in (Impact.DATABASE, Impact.WRITES, Impact.DEPENDENCY)


@dataclass(frozen=True)
class RegisteredCheck:
    """One check that runs. `name` is what reports, metrics and `healthcheck --component` call it.

    `check` is any check of django-health-check. `advice` says what to do about a failure, and everybody may see it;
    `apps.health.checking.explanations` has better advice for some problems. `fails_with_database`: the check itself
    needs no database, but isn't healthy while the database can't be used.
    """

    name: str
    check: Any
    impact: Impact
    advice: str = ""
    needs_database: bool = True
    fails_with_database: bool = False

    @property
    def limit(self) -> float:
        """Seconds that the check may take."""
        return float(self.check.timeout.total_seconds())


_SEE_THE_LOG = "Look for the error in the server's log."
CHECKS: tuple[RegisteredCheck, ...] = (
    RegisteredCheck(
        "database",
        DatabaseCheck(),
        Impact.DATABASE,
        "Check that it runs, that this server reaches it, and that it takes changes; the server's log has the error."
        if settings.DATABASE_TYPE == "postgresql"
        else "Check that the database file exists, and that it and its folder can be written.",
        needs_database=False,
    ),
    RegisteredCheck(
        "database_writes",
        DatabaseWritesCheck(),
        Impact.WRITES,
        "It can be read, but takes no changes: the runbook (docs/operations/runbook.md) has one on that.",
    ),
    RegisteredCheck(
        "dbpool",
        DbpoolCheck(),
        Impact.INFORMATION,
        _SEE_THE_LOG,
        needs_database=False,
        fails_with_database=settings.DATABASE_TYPE == "postgresql",
    ),
    RegisteredCheck("migrations", MigrationsCheck(), Impact.MIGRATIONS, _SEE_THE_LOG),
    RegisteredCheck(
        "pool_manager", DependencyCheck("pool_manager", pool_manager.probe), Impact.DEPENDENCY, _SEE_THE_LOG
    ),
    RegisteredCheck(
        "sync_coordinator", DependencyCheck("sync_coordinator", sync_coordinator.probe), Impact.DEPENDENCY, _SEE_THE_LOG
    ),
    RegisteredCheck(
        "endpoint_manager", DependencyCheck("endpoint_manager", endpoint_manager.probe), Impact.DEPENDENCY, _SEE_THE_LOG
    ),
)
