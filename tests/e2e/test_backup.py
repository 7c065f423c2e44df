"""deploy/backup/backup.sh on a real PostgreSQL: what it makes and restores, and what a failure leaves."""

import os
import resource
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.support.backups import SCRIPT, Backups
from tests.support.migrated import MigratedPostgres
from tests.support.postgres import free_port
from tests.support.wait import until

OLD = tuple(f"pacsync-2020-01-0{day}T00-00-00Z.dump" for day in (1, 2, 3))


@pytest.fixture
def backups(postgres_url: str, tmp_path: Path) -> Backups:
    """No backup yet."""
    folder = tmp_path / "backups"
    folder.mkdir()
    return Backups(postgres_url, folder)


@pytest.fixture
def kept(backups: Backups) -> dict[str, bytes]:
    """Three backups, whose bytes nothing may change."""
    for name in OLD:
        (backups.folder / name).write_bytes(name.encode())
    return contents(backups)


def contents(backups: Backups) -> dict[str, bytes]:
    return {name: (backups.folder / name).read_bytes() for name in backups.names()}


def pools(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [str(name) for (name,) in connection.execute("SELECT name FROM fleet_pool ORDER BY name")]


def add_pool(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO fleet_pool (name, description, auto_sync, excluded_packages, conflict_resolution, "
            "endpoints_may_set_target, retention) VALUES (%s, '', false, '[]', 'manual', false, 5)",
            [name],
        )


def test_newest_backup_is_restored_into_an_empty_database_and_only_there(
    backups: Backups, shared_postgres: MigratedPostgres
) -> None:
    add_pool(shared_postgres.url(backups.environment["PGDATABASE"]), "before")
    name = backups.make()
    assert backups.run("list").stdout == f"{name}\n"
    refused = backups.run("restore")
    assert refused.returncode == 1
    assert "a restore needs an empty one: dropdb and createdb first" in refused.stderr

    with shared_postgres.connect() as connection:
        connection.execute("CREATE DATABASE restored TEMPLATE template0")
    done = backups.run("restore", PGDATABASE="restored")
    assert done.returncode == 0, done.stderr
    assert f"{name} is restored into restored" in done.stdout
    assert pools(shared_postgres.url("restored")) == ["before"]


def test_backup_is_private_and_leaves_the_newest_ones_and_foreign_files(
    backups: Backups, kept: dict[str, bytes]
) -> None:
    (backups.folder / "notes.dump").write_text("not ours")
    name = backups.make(BACKUP_KEEP=2)
    assert backups.names() == [OLD[-1], name]
    assert (backups.folder / name).stat().st_mode & 0o777 == 0o600
    assert (backups.folder / "notes.dump").read_text() == "not ours"


def no_room() -> None:
    """The disk takes 4 KiB of a file, and says so as a full one does."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def test_backup_on_a_full_disk_fails_and_leaves_the_others(backups: Backups, kept: dict[str, bytes]) -> None:
    output = {"env": backups.environment, "capture_output": True, "text": True}
    done = subprocess.run([SCRIPT, "once"], preexec_fn=no_room, **output)  # type: ignore[call-overload]
    assert done.returncode == 1
    assert "FAILED: pg_dump's reason is above. The earlier backups are unchanged (3)." in done.stderr
    assert contents(backups) == kept
    assert backups.unfinished() == []


def test_backup_without_the_database_fails_and_leaves_the_others(backups: Backups, kept: dict[str, bytes]) -> None:
    done = backups.run("once", PGPORT=free_port(), BACKUP_KEEP=1)
    assert done.returncode == 1
    assert "Connection refused" in done.stderr
    assert "FAILED: pg_dump's reason is above." in done.stderr
    assert contents(backups) == kept
    assert backups.unfinished() == []


def test_backup_of_an_empty_database_is_none(
    backups: Backups, kept: dict[str, bytes], shared_postgres: MigratedPostgres
) -> None:
    """Somebody dropped the database and made it again: its dump is valid, and would in time push out all others."""
    with shared_postgres.connect() as connection:
        connection.execute("CREATE DATABASE nothing TEMPLATE template0")
    done = backups.run("once", PGDATABASE="nothing", BACKUP_KEEP=1)
    assert done.returncode == 1
    assert "FAILED: the database nothing has no tables of PacSync" in done.stderr
    assert contents(backups) == kept
    assert backups.unfinished() == []


def test_damaged_backup_is_restored_not_even_in_part(backups: Backups, shared_postgres: MigratedPostgres) -> None:
    name = backups.make()
    whole = (backups.folder / name).read_bytes()
    (backups.folder / name).write_bytes(whole[: len(whole) * 2 // 3])
    with shared_postgres.connect() as connection:
        connection.execute("CREATE DATABASE damaged TEMPLATE template0")
    done = backups.run("restore", PGDATABASE="damaged")
    assert done.returncode == 1
    assert f"FAILED: {name} was not restored, and the database is as empty as before" in done.stderr
    with shared_postgres.connect("damaged") as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_scheduled_backup_is_made_at_once_if_one_is_due_and_not_again(backups: Backups) -> None:
    assert backups.run("check").returncode == 1
    for _ in range(2):  # the second one finds the backup of the first
        with backups.start("schedule") as process:
            until(lambda: len(backups.names()) == 1 and backups.run("check").returncode == 0, 120)
            process.terminate()
            assert process.wait(60) == 128 + signal.SIGTERM
    assert len(backups.names()) == 1
    os.utime(backups.folder / backups.names()[0], (0, 0))
    late = backups.run("check")
    assert late.returncode == 1
    assert "the newest backup is older than 86400 seconds" in late.stderr


def test_second_backup_at_the_same_time_is_refused_and_a_signal_ends_the_first(
    backups: Backups, shared_postgres: MigratedPostgres
) -> None:
    database = backups.environment["PGDATABASE"]

    def waits() -> list[tuple[str | None]]:  # for what each pg_dump in this database waits
        with shared_postgres.connect() as connection:
            query = "SELECT wait_event_type FROM pg_stat_activity WHERE application_name = 'pg_dump' AND datname = %s"
            return connection.execute(query, [database]).fetchall()

    with psycopg.connect(shared_postgres.url(database)) as blocking:
        blocking.execute("LOCK TABLE fleet_pool IN ACCESS EXCLUSIVE MODE")
        with backups.start("once") as process:
            # PostgreSQL drops a request to cancel that comes just before a statement, which then waits for the lock.
            until(lambda: waits() == [("Lock",)] and backups.unfinished(), 120)
            second = backups.run("once")
            assert second.returncode == 1
            assert "FAILED: another backup is being made" in second.stderr
            assert backups.unfinished(), "the second one leaves the first one's file"
            process.terminate()
            assert process.wait(60) == 128 + signal.SIGTERM
        until(lambda: not waits(), 60)
    assert backups.names() == []
    assert backups.unfinished() == []
    backups.make()
