"""The migrations to targets with files and rights: rows survive, nobody gets a right, and both ways can be gone."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.server import manage

BEFORE = "0003"
ROWS = [
    "INSERT INTO fleet_state (digest, arch, package_count, packages) VALUES ('s', 'x86_64', 0, '')",
    "INSERT INTO fleet_pool (name, description, auto_sync, excluded_packages, conflict_resolution,"
    " endpoints_may_set_target, retention) VALUES ('lab', '', {false}, '[]', 'manual', {true}, 5)",
    'INSERT INTO fleet_endpoint (name, pool_id, token_hash, arch, agent_version, report_seq, holds, "foreign")'
    " SELECT 'm1', id, 'h', 'x86_64', '', 0, '[]', '[]' FROM fleet_pool",
    'INSERT INTO fleet_endpoint (name, pool_id, token_hash, arch, agent_version, report_seq, holds, "foreign")'
    " SELECT 'revoked', id, NULL, 'x86_64', '', 0, '[]', '[]' FROM fleet_pool",
    "INSERT INTO fleet_enrolmentcode (code_hash, expires, uses, used, author)"
    " VALUES ('c', '2099-01-01 00:00:00+00:00', 1, 0, 'ada')",
    "INSERT INTO fleet_targetrevision (pool_id, number, state_id, repositories, promoted_from, author, comment)"
    " SELECT id, 1, 's', '[]', '', 'ada', '' FROM fleet_pool",
    "UPDATE fleet_pool SET target_id = (SELECT id FROM fleet_targetrevision)",
]
RIGHTS = "SELECT may_set_targets FROM fleet_endpoint UNION ALL SELECT may_set_targets FROM fleet_enrolmentcode"
REVISION = "SELECT number, approved, files_id, unmanaged, digest FROM fleet_targetrevision"
Ask = Callable[..., list[Any]]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Ask]]:
    """The URL of a database, and a function that runs one statement on it and returns its rows."""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")

        def ask(statement: str) -> list[Any]:
            with psycopg.connect(url) as connection:
                cursor = connection.execute(statement.format(true="true", false="false"))  # type: ignore[arg-type]
                return cursor.fetchall() if cursor.description else []

    else:
        path = tmp_path / "rows.sqlite3"
        url = f"sqlite:///{path}"

        def ask(statement: str) -> list[Any]:
            with contextlib.closing(sqlite3.connect(path)) as connection, connection:
                return connection.execute(statement.format(true="1", false="0")).fetchall()

    yield url, ask


def migrate(url: str, *target: str) -> None:
    done = manage(url, "migrate", *target, "--verbosity=0")
    assert done.returncode == 0, done.stdout + done.stderr


def test_migrations_rows_survive_and_nobody_has_a_right(database: tuple[str, Ask]) -> None:
    url, ask = database
    migrate(url)
    migrate(url, "fleet", BEFORE)
    for row in ROWS:
        ask(row)
    migrate(url)
    assert [bool(may) for (may,) in ask(RIGHTS)] == [False, False, False]
    assert ask("SELECT name FROM fleet_endpoint WHERE revoked IS NOT NULL") == [("revoked",)]
    ((number, approved, *recorded),) = ask(REVISION)
    assert (number, bool(approved), recorded) == (1, True, [None, None, None])
    ((needs, highest, paused),) = ask(
        "SELECT endpoint_targets_need_approval, highest_number, paused_since FROM fleet_pool"
    )
    assert (bool(needs), highest, paused) == (False, 0, None)
    migrate(url, "fleet", BEFORE)
    assert ask("SELECT name FROM fleet_endpoint ORDER BY name") == [("m1",), ("revoked",)]


def test_migrations_an_instance_of_the_last_release_still_writes_and_lets_no_endpoint_set_a_target(
    postgres_url: str,
) -> None:
    migrate(postgres_url, "fleet", BEFORE)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(ROWS[1].format(true="true", false="false"))  # type: ignore[arg-type]
    migrate(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT endpoints_may_set_target FROM fleet_pool").fetchall() == [(False,)]
        connection.execute("UPDATE fleet_pool SET name = 'before'")
        for row in ROWS:
            connection.execute(row.format(true="true", false="false"))  # type: ignore[arg-type]
            if row is ROWS[1]:
                connection.execute("DELETE FROM fleet_pool WHERE name = 'before'")
        assert connection.execute(RIGHTS).fetchall() == [(False,), (False,), (False,)]  # type: ignore[arg-type]
