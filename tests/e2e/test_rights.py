"""A database role that lacks a right: one line that names the right and the remedy, which is then followed."""

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest

from tests.support.load import get
from tests.support.migrated import MigratedPostgres
from tests.support.postgres import Postgres
from tests.support.server import ROOT, environment, manage, running_server
from tests.support.wait import until


@pytest.fixture
def role(shared_postgres: MigratedPostgres, postgres_url: str) -> Iterator[tuple[str, str]]:
    """A role that may log in to a migrated database which belongs to another one, and that database's URL for it."""
    name = f"r{uuid.uuid4().hex[:12]}"
    with shared_postgres.connect() as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN")
    yield name, re.sub(r"//[^@]*@", f"//{name}@", postgres_url)


def run_as_owner(server: Postgres, url: str, statement: str) -> None:
    with server.connect(url.rsplit("/", 1)[1]) as connection:
        connection.execute(statement)


def remedy(text: str) -> str:
    found = re.search(r"As the owner or a superuser: ([^;]+);", text)
    assert found, text
    return found[1]


def test_role_without_rights_the_log_names_the_statement_that_helps(
    role: tuple[str, str], shared_postgres: MigratedPostgres
) -> None:
    name, url = role
    with running_server(url, HEALTH_CHECK_INTERVAL=1) as server:

        def reason() -> object:
            return json.loads(get(server.port, "/health/ready")[2]).get("reason")

        until(lambda: reason() == "database_right_missing", 30)
        assert get(server.port, "/login")[0] in (200, 503)
        line = next(line for line in server.log().splitlines() if "lacks a right" in line)
        assert f"the role {name} lacks a right" in line and "Traceback" not in server.log()
        done = manage(url, "healthcheck")
        assert (done.returncode, "lacks a right" in done.stdout) == (1, True)
        run_as_owner(shared_postgres, url, remedy(line))
        until(lambda: reason() is None, 30)


COMMANDS = ("manage.py", "deploy/database.py")


@pytest.fixture
def empty(role: tuple[str, str], shared_postgres: MigratedPostgres) -> str:
    """The role's URL of a database without tables."""
    name = f"d{uuid.uuid4().hex[:12]}"
    with shared_postgres.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return role[1].rsplit("/", 1)[0] + f"/{name}"


@pytest.mark.parametrize("command", COMMANDS, ids=COMMANDS)
def test_migrate_without_a_right_is_one_line_whose_remedy_helps(
    role: tuple[str, str], empty: str, shared_postgres: MigratedPostgres, command: str
) -> None:
    line = refused(empty, command)
    assert f"the role {role[0]} lacks a right (permission denied for schema public)" in line
    run_as_owner(shared_postgres, empty, remedy(line))
    assert migrate(empty, command).returncode == 0


@pytest.mark.parametrize("command", COMMANDS, ids=COMMANDS)
def test_migrate_without_a_schema_is_one_line_whose_remedy_helps(
    role: tuple[str, str], empty: str, shared_postgres: MigratedPostgres, command: str
) -> None:
    run_as_owner(shared_postgres, empty, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    assert "names no schema that exists and that this role may use: " in refused(empty, command)
    run_as_owner(shared_postgres, empty, f"GRANT USAGE, CREATE ON SCHEMA public TO {role[0]}")
    assert migrate(empty, command).returncode == 0


@pytest.mark.parametrize("command", COMMANDS, ids=COMMANDS)
def test_migrate_where_the_tables_are_somebody_else_s_is_one_line_whose_remedy_helps(
    role: tuple[str, str], shared_postgres: MigratedPostgres, command: str
) -> None:
    name, url = role
    line = refused(url, command)
    assert f"the role {name} lacks a right (permission denied for table django_migrations)" in line
    run_as_owner(shared_postgres, url, remedy(line))
    assert migrate(url, command).returncode == 0


def refused(url: str, command: str) -> str:
    """The last line of a command that fails without a traceback."""
    done = migrate(url, command)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    return done.stderr.strip().splitlines()[-1]


def migrate(url: str, command: str) -> subprocess.CompletedProcess[str]:
    env = environment(url, STRUCTURED_LOGGING="false")
    whole = [sys.executable, command, "migrate"]
    return subprocess.run(whole, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
