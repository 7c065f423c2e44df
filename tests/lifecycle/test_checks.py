"""Each system check, and the refusals of settings.py at start."""

import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings

from apps.lifecycle import checks
from tests.support.server import environment, manage

URL = "postgresql://nobody@127.0.0.1:1/none"


def test_checks_of_the_tests_configuration_find_nothing() -> None:
    for check in (checks.dbpool_sizes, checks.dbpool_workers, checks.drain_delay, checks.request_limit):
        assert check() == []


@pytest.mark.parametrize(
    ("name", "changed", "identifier"),
    [
        ("dbpool_sizes", {"DB_POOL_MIN_SIZE": 11, "DB_POOL_MAX_SIZE": 10}, "lifecycle.E001"),
        ("dbpool_workers", {"DATABASE_TYPE": "postgresql", "WEB_CONCURRENCY": 11}, "lifecycle.E002"),
        ("drain_delay", {"SHUTDOWN_DRAIN_DELAY": 30, "SHUTDOWN_TIMEOUT": 30}, "lifecycle.E003"),
        ("request_limit", {"WEB_REQUEST_LIMIT": 16, "WEB_THREADS": 16}, "lifecycle.W001"),
    ],
)
def test_check_senseless_value_is_found(settings: Any, name: str, changed: dict[str, object], identifier: str) -> None:
    for key, value in changed.items():
        setattr(settings, key, value)
    assert [message.id for message in getattr(checks, name)()] == [identifier]


@pytest.mark.parametrize(
    ("env", "line"),
    [
        (
            {"DB_POOL_MIN_SIZE": 5, "DB_POOL_MAX_SIZE": 4},
            "DB_POOL_MIN_SIZE (5) must not be above DB_POOL_MAX_SIZE (4).",
        ),
        (
            {"WEB_CONCURRENCY": 11},
            "DB_POOL_MAX_SIZE (10) must not be below WEB_CONCURRENCY (11): each worker needs a connection.",
        ),
        (
            {"SHUTDOWN_DRAIN_DELAY": 9, "SHUTDOWN_TIMEOUT": 9},
            "SHUTDOWN_DRAIN_DELAY (9 s) must be below SHUTDOWN_TIMEOUT (9 s).",
        ),
        *(
            (
                {"DATABASE_URL": url},
                "DATABASE_URL must be postgresql://user:password@host:port/database or sqlite:///path.",
            )
            for url in ("mysql://me@127.0.0.1/here", "postgresql://me:secret@127.0.0.1:notaport/here")
        ),
        ({"SECRET_KEY_FILE": "/nowhere/key"}, "SECRET_KEY_FILE names /nowhere/key: No such file or directory."),
        ({"SECRET_KEY_FILE": "/"}, "SECRET_KEY_FILE names /: Is a directory."),
        (
            {"HEALTH_CHECK_INTERVAL": "1e300"},
            "HEALTH_CHECK_INTERVAL must be at least 0.1 and at most 1e+09, not 1e+300.",
        ),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not 'LOUD'."),
        ({"HTTP_PORT": 70000}, "HTTP_PORT must be at most 65535, not 70000."),
        ({"DB_PGBOUNCER": "perhaps"}, "DB_PGBOUNCER must be true or false, not 'perhaps'."),
        ({"DB_POOL_MAX_SIZE": "many"}, "DB_POOL_MAX_SIZE must be a number, not 'many'."),
        ({"DB_POOL_TIMEOUT": 0}, "DB_POOL_TIMEOUT must be at least 0.1 and at most 1e+09, not 0."),
    ],
)
def test_server_senseless_configuration_refused_with_one_line(env: dict[str, object], line: str) -> None:
    command = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py"]
    done = subprocess.run(
        command,
        cwd=settings.BASE_DIR,
        env=environment(str(env.pop("DATABASE_URL", URL)), **env),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.strip() == f"pacsync: {line}"


def test_command_senseless_configuration_refused_with_one_line() -> None:
    done = manage(URL, "check", DB_POOL_MIN_SIZE=20)
    assert done.returncode == 1
    assert done.stderr.strip() == "pacsync: DB_POOL_MIN_SIZE (20) must not be above DB_POOL_MAX_SIZE (10)."
