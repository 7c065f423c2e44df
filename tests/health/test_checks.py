"""The checks themselves, on the real database: they find what is wrong, are bounded, and give their connection back."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.conf import settings as configured
from django.db import DatabaseError, connection
from django.db.migrations.recorder import MigrationRecorder
from health_check.exceptions import ServiceUnavailable, ServiceWarning

from apps.health.checks import migrations
from apps.health.checks.database import DatabaseCheck
from apps.health.checks.dbpool import DbpoolCheck
from apps.health.checks.exceptions import MigrationsPending, NotInitialized
from apps.health.checks.fleet import DependencyCheck
from apps.health.checks.registered import CHECKS, RegisteredCheck
from apps.lifecycle.dbpool import facade
from apps.lifecycle.shared_memory.snapshots import DbpoolSample
from tests.support.wait import until

BY_NAME = {item.name: item for item in CHECKS}
NEEDS_POSTGRESQL = pytest.mark.skipif(configured.DATABASE_TYPE != "postgresql", reason="SQLite has no such thing")


def backends() -> int:
    """Connections to the test's database, this one included."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend'"
        )
        return int(cursor.fetchone()[0])


def in_threads(work: Callable[[], object], times: int) -> None:
    """Call `work` in a new thread, `times` times, as django-health-check's executor would."""
    for _ in range(times):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("item", CHECKS, ids=lambda item: item.name)
def test_check_on_a_migrated_database_passes(item: RegisteredCheck) -> None:
    item.check.run()
    assert item.check.timeout.total_seconds() <= 2


@pytest.mark.django_db(transaction=True)
def test_check_leaves_no_connection_behind(settings: LazySettings) -> None:
    if settings.DATABASE_TYPE != "postgresql":
        BY_NAME["database"].check.run()
        assert connection.connection is None
        return
    left: list[Any] = []
    before = backends()
    for item in CHECKS:

        def check(run: Callable[[], object] = item.check.run) -> None:
            run()
            left.append(connection.connection)

        in_threads(check, settings.DB_POOL_MAX_SIZE + 1)
    assert left == [None] * len(CHECKS) * (settings.DB_POOL_MAX_SIZE + 1)
    until(lambda: backends() <= before)  # PostgreSQL ends a backend a moment after its client closed the connection


@pytest.mark.django_db(transaction=True)
def test_check_that_keeps_its_connection_is_seen(settings: LazySettings) -> None:
    """The twin of the test above: without `bounded_connection` the connection stays."""
    kept: list[Any] = []

    def naive() -> None:
        connection.ensure_connection()
        kept.append(connection.connection)

    if settings.DATABASE_TYPE != "postgresql":
        naive()
        assert connection.connection is not None
        return
    in_threads(naive, 3)
    try:
        assert [each.closed for each in kept] == [False] * 3
        assert backends() >= 1 + 3
    finally:
        for each in kept:
            each.close()


@pytest.mark.django_db
def test_migrations_one_missing_is_pending() -> None:
    assert migrations.pending_migrations(connection) == []
    MigrationRecorder(connection).record_unapplied("fleet", "0001_initial")
    assert migrations.pending_migrations(connection) == [("fleet", "0001_initial")]
    with pytest.raises(MigrationsPending):
        BY_NAME["migrations"].check.run()


@pytest.mark.django_db
def test_migrations_newer_than_the_code_are_fine() -> None:
    MigrationRecorder(connection).record_applied("fleet", "9999_of_the_next_version")
    BY_NAME["migrations"].check.run()


@pytest.mark.django_db(transaction=True)
def test_component_without_its_table_is_not_initialized() -> None:
    def probe() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM nonexistent_table")

    with pytest.raises(NotInitialized):
        DependencyCheck("x", probe).run()


@NEEDS_POSTGRESQL
@pytest.mark.django_db(transaction=True)
def test_component_behind_a_locked_table_is_a_warning() -> None:
    def read() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM fleet_pool")

    def locked() -> None:
        with pytest.raises(ServiceWarning):
            DependencyCheck("x", read).run()
        passed.append(True)

    passed: list[bool] = []
    DependencyCheck("x", read).run()
    with connection.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE fleet_pool IN ACCESS EXCLUSIVE MODE")
        try:
            in_threads(locked, 1)
        finally:
            cursor.execute("ROLLBACK")
    assert passed == [True]


@NEEDS_POSTGRESQL
@pytest.mark.django_db(transaction=True)
def test_database_that_takes_no_writes_is_unhealthy() -> None:
    def run() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        with pytest.raises(ServiceUnavailable):
            DatabaseCheck().run()
        passed.append(True)

    passed: list[bool] = []
    in_threads(run, 1)
    assert passed == [True]


def test_sqlite_file_missing_or_read_only_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.sqlite3"
    with pytest.raises(ServiceUnavailable):
        DatabaseCheck.require_writable_file(str(path))
    path.touch()
    DatabaseCheck.require_writable_file(str(path))
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    with pytest.raises(ServiceUnavailable):
        DatabaseCheck.require_writable_file(str(path))


@pytest.mark.parametrize(
    ("sample", "warns"),
    [
        (None, False),
        (DbpoolSample(size=10, idle=0, active=10, waiting=3, max_size=10), True),
        (DbpoolSample(size=10, idle=0, active=10, waiting=0, max_size=10), False),
        (DbpoolSample(size=5, idle=0, active=5, waiting=1, max_size=10), False),
    ],
)
def test_dbpool_warns_when_somebody_waits(
    sample: DbpoolSample | None, warns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facade, "sample", lambda: sample)
    if warns:
        with pytest.raises(ServiceWarning):
            DbpoolCheck().run()
    else:
        DbpoolCheck().run()


@pytest.mark.django_db(transaction=True)
def test_statement_that_fails_wakes_the_checker(checker: Any) -> None:
    connection.close()
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM nonexistent_table")
    # SQLite calls a missing table an OperationalError, PostgreSQL a ProgrammingError: the database is well there.
    assert checker.wanted is (connection.vendor == "sqlite")
    connection.close()
