"""`manage.py healthcheck` without a server: its options, and what it says of a configuration and a database."""

import time
from pathlib import Path

import pytest
from django.core.management import call_command

from apps.health.checks.registered import CHECKS
from apps.health.command import exit_codes, healthcheck, local, options
from tests.support.server import manage


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["--wait", "-1"],
        ["--wait", "soon"],
        *(["--timeout", text] for text in ("nan", "0", "-1", "inf", "soon")),
        ["--format", "xml"],
    ],
)
def test_options_that_make_no_sense_are_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        healthcheck.main(arguments)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_help_lists_the_exit_codes_and_the_components(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        healthcheck.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "exit codes" in text
    assert tuple(item.name for item in CHECKS) == options.COMPONENTS


@pytest.mark.django_db
def test_command_through_django_checks_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("healthcheck", component="database")
    assert "database is healthy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("env", "code", "words"),
    [
        ({"SECRET_KEY": "", "ENVIRONMENT": "production"}, 2, "SECRET_KEY is not set"),
        ({"DB_POOL_MAX_SIZE": "many"}, 2, "DB_POOL_MAX_SIZE must be a number"),
        ({"DATABASE_URL": "nonsense"}, 2, "settings_broken"),
        ({"DATABASE_URL": "mongodb://localhost/x"}, 2, "settings_broken"),
        ({"DATABASE_URL": "sqlite:////nonexistent/pacsync.sqlite3"}, 1, "database_unhealthy"),
        ({"DATABASE_URL": "sqlite:////"}, 1, "database_unhealthy"),
        ({"DATABASE_URL": "postgresql://pacsync:secret@127.0.0.1:1/x"}, 1, "database_unhealthy"),
        ({"LOG_LEVEL": "NONSENSE"}, 2, "settings_broken"),
        ({"DJANGO_SETTINGS_MODULE": "nonexistent.settings"}, 2, "settings_broken"),
    ],
)
def test_broken_configuration_is_a_sentence(env: dict[str, str], code: int, words: str) -> None:
    url = env.pop("DATABASE_URL", "sqlite:////nonexistent/pacsync.sqlite3")
    done = manage(url, "healthcheck", "--timeout", "60", **env)
    assert (done.returncode, done.stderr) == (code, "")
    assert words in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stdout
    assert "secret" not in done.stdout


def test_missing_sqlite_file_is_not_made(tmp_path: Path) -> None:
    done = manage(f"sqlite:///{tmp_path / 'new.sqlite3'}", "healthcheck", "--timeout", "60")
    assert done.returncode == 1
    assert "does not exist" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["sqlite:////nonexistent/pacsync.sqlite3", "nonsense"])
def test_component_that_is_unknown_is_exit_2_with_the_known_names(url: str) -> None:
    """Whatever else is wrong."""
    done = manage(url, "healthcheck", "--component", "nonsense")
    assert (done.returncode, done.stderr) == (2, "")
    known = ", ".join(sorted(item.name for item in CHECKS))
    assert f"There is no component 'nonsense'. There are: {known}." in done.stdout


@pytest.mark.django_db
@pytest.mark.parametrize(("slow", "code"), [("load_settings", 0), ("run_checks", 1)])
def test_clock_starts_when_it_begins_to_ask(monkeypatch: pytest.MonkeyPatch, slow: str, code: int) -> None:
    """Loading takes longer than the whole limit; the negative twin takes as long to ask."""
    real = getattr(local, slow)

    def slowly(*arguments: object) -> object:
        time.sleep(4)
        return real(*arguments)

    monkeypatch.setattr(local, slow, slowly)
    monkeypatch.setattr(
        local, "run_checks", local.run_checks if slow == "run_checks" else lambda _: exit_codes.result(0, "fine")
    )
    assert local.check(component="database", timeout=2)["exit_code"] == code
