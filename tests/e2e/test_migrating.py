"""A migration behind a dump: the API goes on, and the migration is taken back as a whole until its turn comes."""

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.server import ROOT, environment, migrate
from tests.support.wait import until

MIGRATION = """
from django.db import migrations, models

class Migration(migrations.Migration):
    atomic = {atomic}
    dependencies = [("fleet", "{last}")]
    operations = [
        migrations.AddField("endpoint", "later", models.CharField(max_length=5, null=True)),
        migrations.AddField("pool", "later", models.CharField(max_length=5, null=True)),
    ]
"""
LAST = max(path.stem for path in (ROOT / "apps/fleet/migrations").glob("0*.py"))
COMMANDS = {"manage": ["manage.py", "migrate"], "deploy": ["deploy/database.py", "migrate"]}
READ = "SELECT count(*) FROM fleet_endpoint"


@pytest.fixture
def release(tmp_path: Path) -> dict[str, str]:
    """The environment in which the project has one more migration, of two tables."""
    return next_release(tmp_path, atomic=True)


def next_release(folder: Path, *, atomic: bool) -> dict[str, str]:
    package = folder / "later_migrations"
    package.mkdir()
    package.joinpath("__init__.py").write_text(f"__path__.append({str(ROOT / 'apps' / 'fleet' / 'migrations')!r})\n")
    package.joinpath("0999_later.py").write_text(MIGRATION.format(atomic=atomic, last=LAST))
    folder.joinpath("later_settings.py").write_text(
        textwrap.dedent("""
        from pacsync.settings import *

        MIGRATION_MODULES = {"fleet": "later_migrations"}
        """)
    )
    return {"PYTHONPATH": str(folder), "DJANGO_SETTINGS_MODULE": "later_settings"}


def start(url: str, command: str, **env: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *COMMANDS[command]],
        cwd=ROOT,
        env=environment(url, **{"MIGRATE_LOCK_TIMEOUT": 0.5} | env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def dump(url: str, table: str) -> Iterator[None]:
    """Reads a table, as pg_dump does, for as long as it is entered."""
    with psycopg.connect(f"{url}?application_name=pg_dump") as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS SHARE MODE")
        yield


def columns(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM information_schema.columns WHERE column_name = 'later'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def waits(url: str) -> bool:
    """Whether a statement waits for an exclusive lock of a table."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
        ).fetchone()
    assert row is not None
    return bool(row[0])


@pytest.mark.parametrize("command", COMMANDS)
def test_migration_behind_a_dump_waits_its_turn_while_others_read(
    postgres_url: str, release: dict[str, str], command: str
) -> None:
    with dump(postgres_url, "fleet_pool"):  # the second table: the lock of the first one is held when it waits
        process = start(postgres_url, command, **release)
        read = 0
        with psycopg.connect(postgres_url, autocommit=True) as reader:
            for _ in range(3):
                until(lambda: waits(postgres_url), 60)
                reader.execute(READ)  # waits for the attempt under way at most, not for the dump
                read += 1
        assert process.poll() is None and read == 3 and columns(postgres_url) == 0
    said = process.communicate(timeout=100)[1]
    assert process.returncode == 0, said
    assert "fleet.0999_later was rolled back" in said
    assert "(pg_dump, user postgres, idle in transaction, transaction " in said
    assert columns(postgres_url) == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_migration_that_never_gets_its_turn_gives_up_and_leaves_nothing(
    postgres_url: str, release: dict[str, str], command: str
) -> None:
    with dump(postgres_url, "fleet_pool"):
        process = start(postgres_url, command, MIGRATE_TIMEOUT=1, **release)
        said = process.communicate(timeout=100)[1]
        assert process.returncode == 1
        assert columns(postgres_url) == 0
    last = said.strip().splitlines()[-1]
    assert "Given up after 1 s (MIGRATE_TIMEOUT); nothing of it was applied." in last and "pg_dump" in last
    assert "Traceback" not in said


def test_migration_without_a_limit_makes_readers_wait_for_the_dump(postgres_url: str, release: dict[str, str]) -> None:
    """The negative twin: a limit longer than the dump."""
    with dump(postgres_url, "fleet_pool"):
        process = start(postgres_url, "manage", MIGRATE_LOCK_TIMEOUT=60, **release)
        until(lambda: waits(postgres_url), 60)
        limited = psycopg.connect(postgres_url, autocommit=True, options="-c statement_timeout=3s")
        with limited as reader, pytest.raises(psycopg.errors.QueryCanceled):
            reader.execute(READ)
    assert process.communicate(timeout=100) and process.returncode == 0


def test_migration_in_a_deadlock_is_tried_again(postgres_url: str, release: dict[str, str]) -> None:
    """Someone holds pool and wants endpoint, as the migration holds endpoint and wants pool."""
    other = psycopg.connect(postgres_url)
    other.execute("LOCK TABLE fleet_pool IN ACCESS SHARE MODE")
    process = start(postgres_url, "manage", MIGRATE_LOCK_TIMEOUT=30, **release)
    until(lambda: waits(postgres_url), 60)
    victim: list[BaseException] = []

    def want() -> None:
        try:
            other.execute("SET deadlock_timeout = '20s'")  # so that the migration is who finds it
            other.execute("LOCK TABLE fleet_endpoint IN ACCESS SHARE MODE")
            other.execute(READ)
        except psycopg.Error as error:
            victim.append(error)
        other.close()

    thread = threading.Thread(target=want)
    thread.start()
    said = process.communicate(timeout=100)[1]
    thread.join(60)
    assert process.returncode == 0, said
    assert columns(postgres_url) == 2
    if not victim:  # whoever PostgreSQL chose: nothing is half applied
        assert "deadlock detected" in said


def test_migration_that_is_not_atomic_is_said(postgres_url: str, tmp_path: Path) -> None:
    process = start(postgres_url, "manage", **next_release(tmp_path, atomic=False))
    said = process.communicate(timeout=100)[1]
    assert process.returncode == 0
    assert "fleet.0999_later is not atomic" in said


def test_error_that_is_no_lock_is_not_tried_again(postgres_url: str, release: dict[str, str]) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("ALTER TABLE fleet_pool ADD COLUMN later text")
    started = time.monotonic()
    process = start(postgres_url, "manage", MIGRATE_TIMEOUT=500, **release)
    said = process.communicate(timeout=100)[1]
    assert process.returncode == 1 and "already exists" in said and "Trying again" not in said
    assert time.monotonic() - started < 100
    assert columns(postgres_url) == 1


def test_migrate_of_an_empty_database_works_as_django_does(shared_postgres: object, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.sqlite3'}"
    migrate(url)
