"""The system check, and the refusals of settings.py at start."""

import secrets
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings

from apps.lifecycle import system_checks
from apps.lifecycle.gunicorn import master_hooks
from pacsync import database_url
from tests.support.server import environment, manage

URL = "postgresql://nobody@127.0.0.1:1/none"
NO_KEY = (
    "SECRET_KEY is not set: set SECRET_KEY or SECRET_KEY_FILE. "
    "(With ENVIRONMENT=development the key is used that `make run` made.)"
)


def test_request_limit_below_the_threads_is_fine() -> None:
    assert system_checks.request_limit() == []


def test_request_limit_that_leaves_no_thread_is_warned_of(settings: Any) -> None:
    settings.WEB_REQUEST_LIMIT = settings.WEB_THREADS = 16
    assert [message.id for message in system_checks.request_limit()] == ["lifecycle.W001"]


@pytest.mark.parametrize(
    ("seconds", "subdomains", "preload", "warned"),
    [
        (31_536_000, False, False, []),
        (31_536_000, True, False, []),
        (31_536_000, True, True, []),
        (0, False, False, []),
        (31_536_000, False, True, ["lifecycle.W003"]),
        (31_535_999, True, True, ["lifecycle.W003"]),
        (0, True, False, ["lifecycle.W002"]),
        (0, False, True, ["lifecycle.W002"]),
    ],
)
def test_hsts_that_makes_no_sense_is_warned_of(
    settings: Any, seconds: int, subdomains: bool, preload: bool, warned: list[str]
) -> None:
    settings.SECURE_HSTS_SECONDS = seconds
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS, settings.SECURE_HSTS_PRELOAD = subdomains, preload
    assert [message.id for message in system_checks.strict_transport()] == warned


@pytest.mark.parametrize(
    ("env", "header"),
    [
        ({}, None),
        ({"BEHIND_HTTPS_PROXY": "true"}, "max-age=31536000"),
        ({"BEHIND_HTTPS_PROXY": "true", "HSTS_SECONDS": 60}, "max-age=60"),
        ({"BEHIND_HTTPS_PROXY": "true", "HSTS_SECONDS": 0}, None),
        (
            {"BEHIND_HTTPS_PROXY": "true", "HSTS_INCLUDE_SUBDOMAINS": "true", "HSTS_PRELOAD": "true"},
            "max-age=31536000; includeSubDomains; preload",
        ),
        ({"HSTS_INCLUDE_SUBDOMAINS": "true"}, None),
    ],
)
def test_hsts_is_as_the_environment_says(env: dict[str, object], header: str | None) -> None:
    code = (
        "from django.test import Client; "
        "print(Client().get('/login', secure=True, headers={'X-Forwarded-Proto': 'https'})"
        ".headers.get('Strict-Transport-Security'))"
    )
    done = manage("sqlite://:memory:", "shell", "--no-imports", "-c", code, **env)
    assert done.stdout.splitlines()[-1] == str(header), done.stderr


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
            for url in (
                "mysql://me@127.0.0.1/here",
                "postgresqll://me:secret@127.0.0.1/here",
                "postgresql://",
            )
        ),
        *(
            ({"ENVIRONMENT": name}, f"ENVIRONMENT must be production, staging, development or test, not {name!r}.")
            for name in ("prod", "Production", "dev", "testing")
        ),
        *(
            (
                {"DATABASE_URL": url},
                "DATABASE_URL must be postgresql://user:password@host:port/database or sqlite:///path. "
                "In a user name or password / ? # @ and % must be percent-encoded (/ is %2F, @ is %40).",
            )
            for url in (
                "postgresql://me:sec/ret@127.0.0.1/here",
                "postgresql://me:sec/ret@here",
                "postgresql://me:s%ecret@127.0.0.1/here",
                "postgresql://me:s@1/2?34@here/there",
                "postgresql://me:s@1/w?client_encoding=secret@here/there",
                "postgresql://me:s@1/w?user=secret@here/there",
            )
        ),
        (
            {"DATABASE_URL": "postgresql://me:secret@127.0.0.1:notaport/here"},
            "DATABASE_URL must be postgresql://user:password@host:port/database or sqlite:///path. "
            "The port is a number from 1 to 65535. "
            "In a user name or password / ? # @ and % must be percent-encoded (/ is %2F, @ is %40).",
        ),
        *(
            (
                {"DATABASE_URL": f"{URL}?{parameters}"},
                "DATABASE_URL has a parameter that PostgreSQL's libpq doesn't know: an & in a password is %26.",
            )
            for parameters in ("password=a&secret", "sslpassword=a&secret", "Passwd=a&secret", "x=a&se-cret")
        ),
        (
            {"DATABASE_URL": f"{URL}?client_encoding=secret"},
            "DATABASE_URL sets another client_encoding: PacSync needs UTF8.",
        ),
        (
            {"DATABASE_URL": "", "DATABASE_NAME": "postgresql://me:secret@here/there"},
            "DATABASE_NAME is one part; the whole URL is for DATABASE_URL.",
        ),
        (
            {"SESSION_COOKIE_NAME": "csrftoken"},
            "SESSION_COOKIE_NAME and CSRF_COOKIE_NAME must differ.",
        ),
        *(
            ({"DATABASE_URL": f"{URL}?{parameter}"}, f"DATABASE_URL: {line}")
            for parameter, line in (
                ("isolation_level=3", "isolation_level can't be set there: PacSync needs read committed."),
                (
                    "CONN_MAX_AGE=60",
                    "CONN_MAX_AGE can't be set there: "
                    "the dbpool decides how long a connection lives (DB_POOL_MAX_LIFETIME).",
                ),
            )
        ),
        ({"DATABASE_URL": f"{URL}?host=/tmp"}, "DATABASE_URL names the host twice: before the ? and behind it."),
        ({"PGCLIENTENCODING": "LATIN1"}, "The environment sets client_encoding to LATIN1: PacSync needs UTF8."),
        ({"SECRET_KEY": " "}, NO_KEY),
        ({"SECRET_KEY_FILE": "/dev/null"}, NO_KEY),
        (
            {"DATABASE_URL": "postgresql://me:secret@127.0.0.1/here?nonsense=1"},
            "DATABASE_URL has a parameter that PostgreSQL's libpq doesn't know: nonsense.",
        ),
        (
            {"DATABASE_URL": "sqlite:////tmp/here?mode=ro"},
            "DATABASE_URL: SQLite takes no parameters (mode).",
        ),
        ({"SECRET_KEY_FILE": "/nowhere/key"}, "SECRET_KEY_FILE names /nowhere/key: No such file or directory."),
        ({"SECRET_KEY_FILE": "/"}, "SECRET_KEY_FILE names /: Is a directory."),
        (
            {"HEALTH_CHECK_INTERVAL": "1e300"},
            "HEALTH_CHECK_INTERVAL must be at least 0.1 and at most 86400, not 1e+300.",
        ),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not 'LOUD'."),
        ({"HTTP_PORT": 70000}, "HTTP_PORT must be at least 1 and at most 65535, not 70000."),
        ({"REQUEST_READ_TIMEOUT": "1e9"}, "REQUEST_READ_TIMEOUT must be at least 0 and at most 86400, not 1e+09."),
        ({"SHUTDOWN_TIMEOUT": "nan"}, "SHUTDOWN_TIMEOUT must be at least 1 and at most 86400, not nan."),
        (
            {"WEB_REQUEST_LIMIT": 20},
            "WEB_REQUEST_LIMIT (20) must not be above WEB_THREADS (16): "
            "a worker serves no more requests at once than it has threads.",
        ),
        *(
            (
                {"PACKAGE_ARCHIVE_URL": url},
                f"PACKAGE_ARCHIVE_URL must be an address like https://archive.archlinux.org, not '{url}'.",
            )
            for url in ("hello", "ftp://x", "https://", "https://x:port")
        ),
        *(
            (
                {"ALLOWED_HOSTS": f"localhost,{host}"},
                "ALLOWED_HOSTS must hold names like pacsync.example, .example or *, without scheme and port, "
                f"not '{host}'.",
            )
            for host in ("http://x", "x:8080")
        ),
        (
            {"CSRF_TRUSTED_ORIGINS": "pacsync.example"},
            "CSRF_TRUSTED_ORIGINS must hold origins like https://pacsync.example, not 'pacsync.example'.",
        ),
        *(
            ({name: value}, f"{name} must hold {rule}, not {value!r}.")
            for name, rule in (
                ("ALLOWED_HOSTS", "names like pacsync.example, .example or *, without scheme and port"),
                ("CSRF_TRUSTED_ORIGINS", "origins like https://pacsync.example"),
                ("HEALTH_DETAIL_NETWORKS", "IP networks like 10.0.0.0/8"),
            )
            for value in ("$HOME", "$UNKNOWN")
        ),
        (
            {"INSTANCE_NAME": "x" * 300},
            f"INSTANCE_NAME must have at most 255 characters, and no line break, not '{'x' * 79}….",
        ),
        ({"INSTANCE_NAME": "\udcff"}, "INSTANCE_NAME must be UTF-8 text, not '\\udcff'."),
        ({"HTTP_HOST": "x" * 300}, f"HTTP_HOST must be an address, a host name or unix:/path, not '{'x' * 79}…."),
        (
            {"SESSION_COOKIE_NAME": "a b"},
            "SESSION_COOKIE_NAME must hold at most 100 letters, digits, - and _ only, not 'a b'.",
        ),
        ({"DB_PGBOUNCER": "perhaps"}, "DB_PGBOUNCER must be true or false, not 'perhaps'."),
        ({"DB_POOL_MAX_SIZE": "many"}, "DB_POOL_MAX_SIZE must be a number, not 'many'."),
        ({"DB_POOL_TIMEOUT": 0}, "DB_POOL_TIMEOUT must be at least 0.1 and at most 86400, not 0."),
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


@pytest.mark.parametrize("parameter", ["sslmode=prefer", "application_name=mine", "assume_role=mine"])
def test_database_url_with_a_parameter_of_libpq_or_django_is_accepted(parameter: str) -> None:
    assert manage(f"{URL}?{parameter}", "check").returncode == 0


def test_ipv6_address_of_the_database_may_have_brackets() -> None:
    parts = {"DATABASE_NAME": "here", "DATABASE_HOST": "[2001:db8::7]"}
    assert database_url.postgresql_parts(parts)["HOST"] == "2001:db8::7"


def test_value_from_a_file_ends_before_its_last_line_break(tmp_path: Path) -> None:
    """`echo KEY >file`, and most editors, put one there: it's no part of a key or of a password."""
    key, url = tmp_path / "key", tmp_path / "url"
    key.write_text("k" * 50 + "\n")
    url.write_text("postgresql://me:secret@127.0.0.1:1/here\r\n")
    code = "from django.conf import settings as s; print(repr(s.SECRET_KEY), repr(s.DATABASES['default']['NAME']))"
    done = manage(URL, "shell", "--no-imports", "-c", code, SECRET_KEY_FILE=key, DATABASE_URL_FILE=url)
    assert done.stdout.strip() == f"{'k' * 50!r} 'here'", done.stderr


@pytest.mark.parametrize(
    ("key", "kind", "warned"),
    [("short", "production", True), ("short", "development", False), ("", "production", False)],
)
def test_server_with_a_short_key_starts_and_warns_in_production(
    caplog: pytest.LogCaptureFixture, settings: Any, key: str, kind: str, warned: bool
) -> None:
    settings.SECRET_KEY = key or secrets.token_urlsafe(50)
    settings.DEVELOPMENT = kind == "development"
    master_hooks.on_starting(SimpleNamespace(cfg=SimpleNamespace(address=[])))
    assert ("security.W009" in caplog.text) is warned


def test_server_with_a_short_former_key_warns(caplog: pytest.LogCaptureFixture, settings: Any) -> None:
    """The first step of a rotation puts the new key there."""
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = secrets.token_urlsafe(50), ["short"]
    settings.DEVELOPMENT = False
    master_hooks.on_starting(SimpleNamespace(cfg=SimpleNamespace(address=[])))
    assert "security.W025" in caplog.text


@pytest.mark.parametrize("command", [["manage.py", "migrate"], ["deploy/database.py", "wait"]])
@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"WEB_CONCURRENCY": "two"}, "WEB_CONCURRENCY must be a number, not 'two'."),
        ({"FORWARDED_ALLOW_IPS": "10.0.0.1/8"}, "FORWARDED_ALLOW_IPS must hold IP addresses or networks"),
        ({"FORWARDED_ALLOW_IPS": "proxy"}, "FORWARDED_ALLOW_IPS must hold IP addresses or networks"),
    ],
)
def test_what_runs_before_the_server_finds_what_gunicorn_would_trip_over(
    command: list[str], env: dict[str, str], words: str
) -> None:
    """gunicorn reads these two itself, before our file: every documented start runs one of these commands first."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=settings.BASE_DIR,
        env=environment(URL, **env),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert words in line


def test_command_senseless_configuration_refused_with_one_line() -> None:
    done = manage(URL, "check", DB_POOL_MIN_SIZE=20)
    assert done.returncode == 1
    assert done.stderr.strip() == "pacsync: DB_POOL_MIN_SIZE (20) must not be above DB_POOL_MAX_SIZE (10)."


@pytest.mark.parametrize(
    ("file", "says"), [("folder/made/later/db.sqlite3", ""), ("text/db.sqlite3", "not a directory")]
)
def test_wait_sees_where_no_sqlite_file_can_be_made(tmp_path: Path, file: str, says: str) -> None:
    """Missing folders are made by `migrate`."""
    (tmp_path / "text").write_text("")
    done = subprocess.run(
        [sys.executable, "deploy/database.py", "wait"],
        cwd=settings.BASE_DIR,
        env=environment(f"sqlite:///{tmp_path / file}"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == (1 if says else 0)
    assert says in done.stderr and len(done.stderr.splitlines()) == bool(says)
