"""How commands end: by an exit code that means what their help says, and in time, even if the database is frozen."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from apps.lifecycle.management import frozen_database
from tests.support.migrated import MigratedPostgres
from tests.support.server import ROOT, environment, manage


def unwritable(url: str, *arguments: str, **env: object) -> subprocess.CompletedProcess[str]:
    """The command, whose standard output is a full device."""
    with open("/dev/full", "w") as full:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment(url, **env), stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"DB_POOL_MAX_SIZE": "many"}, "pacsync: DB_POOL_MAX_SIZE must be a number"),
        ({"SECRET_KEY": "", "ENVIRONMENT": "production"}, "pacsync: SECRET_KEY is not set"),
        ({"DJANGO_SETTINGS_MODULE": "nonexistent.settings"}, "No module named 'nonexistent'"),
        ({"LOG_LEVEL": "NONSENSE"}, "LOG_LEVEL"),
    ],
)
def test_fleet_that_cannot_be_told_for_its_settings_exits_with_2(
    env: dict[str, str], words: str, sqlite_url: str
) -> None:
    done = manage(sqlite_url, "fleet", **env)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_other_commands_exit_with_1_for_senseless_settings(sqlite_url: str) -> None:
    assert manage(sqlite_url, "operations", DB_POOL_MAX_SIZE="many").returncode == 1


def test_fleet_that_cannot_be_written_exits_with_2_and_says_why(sqlite_url: str) -> None:
    done = unwritable(sqlite_url, "fleet")
    assert done.returncode == 2
    assert done.stderr == "CommandError: The standard output takes nothing: No space left on device.\n"


def test_other_commands_that_cannot_be_written_exit_with_1(sqlite_url: str) -> None:
    done = unwritable(sqlite_url, "endpoints")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_healthcheck_that_cannot_be_written_exits_with_2(sqlite_url: str) -> None:
    done = unwritable(sqlite_url, "healthcheck")
    assert done.returncode == 2
    assert done.stderr.startswith("undetermined: OSError") and done.stderr.count("\n") == 1


def test_fleet_whose_code_fails_exits_with_2(sqlite_url: str, tmp_path: Path) -> None:
    """Whatever nobody thought of: Python's own exit code would be 1, which means something else."""
    (tmp_path / "late.py").write_text(
        "from django.apps import AppConfig\n\n\nclass Late(AppConfig):\n    name = 'late'\n    path = '.'\n\n"
        "    def ready(self):\n        from apps.fleet import fleet_survey\n\n"
        "        fleet_survey.Survey.groups = property(lambda _: 1 / 0)\n"
    )
    (tmp_path / "broken.py").write_text("from pacsync.settings import *\n\nINSTALLED_APPS += ['late.Late']\n")
    done = manage(sqlite_url, "fleet", DJANGO_SETTINGS_MODULE="broken", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "ZeroDivisionError" in done.stderr


def waiting(postgres: MigratedPostgres, holder: psycopg.Connection[Any], *command: str) -> subprocess.Popen[str]:
    """The command, one statement of which waits for a lock that `holder` has."""
    holder.autocommit = False
    holder.execute("LOCK TABLE fleet_pool, fleet_state, fleet_operation IN ACCESS EXCLUSIVE MODE")
    process = subprocess.Popen(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=environment(postgres.url(), DB_LOCK_TIMEOUT=60, DB_STATEMENT_TIMEOUT=90),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not postgres.client_backends(postgres.url(), "wait_event_type = 'Lock'"):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(
    ("command", "code"), [(("fleet",), 2), (("operations",), 1), (("prune", "--dry-run"), 1)], ids=["2", "1", "prune"]
)
def test_command_of_a_server_that_freezes_meanwhile_ends(
    postgres: MigratedPostgres, command: tuple[str, ...], code: int
) -> None:
    with contextlib.closing(postgres.connect()) as holder:
        process = waiting(postgres, holder, *command)
        postgres.freeze()
        try:
            said, why = process.communicate(timeout=60)
        finally:
            process.kill()
            postgres.thaw()
    assert (process.returncode, said) == (code, "")
    assert why == (
        "CommandError: The database can't be used: it has not answered a new connection within 5 s, 2 times.\n"
    )


def test_command_of_a_server_that_is_frozen_already_ends(postgres: MigratedPostgres) -> None:
    postgres.freeze()
    try:
        done = manage(postgres.url(), "fleet")
    finally:
        postgres.thaw()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("CommandError: The database can't be used: ")


def test_command_of_a_server_that_is_only_slow_goes_on(postgres: MigratedPostgres) -> None:
    """A lock that is held for longer than a frozen server is waited for."""
    with contextlib.closing(postgres.connect()) as holder:
        process = waiting(postgres, holder, "fleet")
        time.sleep(frozen_database.QUIET + frozen_database.TRIES * frozen_database.PATIENCE + 2)
        assert process.poll() is None
        holder.rollback()
        said, why = process.communicate(timeout=60)
    assert (process.returncode, why) == (0, "") and "Nothing needs attention." in said
