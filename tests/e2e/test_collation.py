"""PostgreSQL's volume moves to a host whose C library sorts otherwise: names stay unique.

The move is simulated on one server: the database is made with one collation of ICU, and its catalogue is changed to
another one under the indexes, as another C library would do it. Needs Debian's PostgreSQL, which has ICU.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support import postgres
from tests.support.postgres import Postgres
from tests.support.server import manage, migrate

NAMES = [f"{letter}{number}" for letter in ("a", "A", "b", "B", "a-", "A.", "b_", "B-") for number in range(50)]
OTHER = "en-US-u-ka-shifted-kf-upper-kr-digit-latn"
# What our columns were before 0002.
TWIN = "CREATE TABLE twin (name varchar(63) UNIQUE)"
TWIN_ROW = "INSERT INTO twin VALUES (%s)"
POOL_ROW = """
INSERT INTO fleet_pool (name, description, auto_sync, excluded_packages, conflict_resolution, endpoints_may_set_target,
                        retention)
VALUES (%s, '', false, '[]', 'manual', false, 5)"""
USER_ROW = """
INSERT INTO auth_user (username, password, first_name, last_name, email, is_superuser, is_staff, is_active, date_joined)
VALUES (%s, '', '', '', '', false, false, true, now())"""
DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    if not DEBIAN:
        (pytest.fail if os.environ.get("PACSYNC_REQUIRE_ALL") == "1" else pytest.skip)("apt-get install postgresql")
    monkeypatch.setattr(postgres, "program_directory", lambda: DEBIAN[-1])
    made = Postgres(allow_system_table_mods="on", lc_messages="C")
    try:
        made.start()
        with made.connect() as connection:
            connection.execute(
                "CREATE DATABASE moved TEMPLATE template0 ENCODING 'UTF8' "
                "LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
            )
        yield made
    finally:
        made.delete()


def move(server: Postgres) -> None:
    """From now on the host sorts otherwise: upper case first, and punctuation as letters' last resort."""
    with server.connect() as connection:
        column = "daticulocale" if connection.info.server_version < 170_000 else "datlocale"
        connection.execute(
            f"UPDATE pg_database SET {column} = '{OTHER}', datcollversion = '1.1' WHERE datname = 'moved'"  # noqa: S608
        )


def made_twice(url: str, statement: str) -> int:
    """How many of the names can be made a second time."""
    count = 0
    with psycopg.connect(url, autocommit=True) as connection:
        for name in NAMES:
            try:
                connection.execute(statement, [name])
                count += 1
            except psycopg.errors.UniqueViolation:
                pass
    return count


@pytest.mark.timeout(600)
def test_names_stay_unique_when_the_c_library_changes_and_the_change_is_said(server: Postgres) -> None:
    """The negative twin is a table in the same database whose column has the database's own collation."""
    url = server.url("moved")
    migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TWIN)
    for statement in (POOL_ROW, USER_ROW, TWIN_ROW):
        assert made_twice(url, statement) == len(NAMES)
    before = manage(url, "shell", "--no-imports", "-c", "from django.db import connection as c; c.ensure_connection()")
    assert "REINDEX" not in before.stdout + before.stderr
    move(server)
    assert made_twice(url, POOL_ROW) == 0
    assert made_twice(url, USER_ROW) == 0
    assert made_twice(url, TWIN_ROW) > 0
    after = manage(url, "shell", "--no-imports", "-c", "from django.db import connection as c; c.ensure_connection()")
    assert "made with version 1.1 of its collation" in after.stdout + after.stderr
    assert "REINDEX DATABASE" in after.stdout + after.stderr


@pytest.mark.django_db
def test_names_are_in_the_order_of_their_bytes_on_both_databases() -> None:
    from apps.fleet.models import Pool

    names = ["b", "B", "a", "A", "a-b", "a.b", "a_b", "ab", "Z9", "9"]
    Pool.objects.bulk_create(Pool(name=name) for name in names)
    assert list(Pool.objects.order_by("name").values_list("name", flat=True)) == sorted(names)
    assert list(Pool.objects.filter(name__gt="a").order_by("name").values_list("name", flat=True)) == [
        name for name in sorted(names) if name > "a"
    ]
    assert Pool.objects.filter(name__gte="a", name__lt="b").count() == 5


def test_migration_of_names_keeps_rows_and_goes_back(postgres_url: str) -> None:
    state = "a" * 64
    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            "INSERT INTO fleet_state (digest, arch, package_count, packages) VALUES (%s, 'any', 0, '')", [state]
        )
    for target in ("0001", "0002"):
        done = manage(postgres_url, "migrate", "fleet", target, "--verbosity=0")
        assert done.returncode == 0, done.stderr
        with psycopg.connect(postgres_url) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_attribute WHERE attname IN ('name', 'digest', 'state_id', 'username') "
                "AND attrelid::regclass::text IN ('fleet_pool', 'fleet_state', 'fleet_endpoint', 'auth_user') "
                "AND attcollation = '\"C\"'::regcollation"
            ).fetchone()
            assert row is not None
            assert row[0] == (0 if target == "0001" else 5)
