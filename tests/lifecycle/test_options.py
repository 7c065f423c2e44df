"""gunicorn's options: the table names every one of them, and each does what the table says."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gunicorn.config import KNOWN_SETTINGS, Config

from apps.lifecycle.gunicorn import options
from tests.support.server import ROOT, environment

CONFIGURATION = str(ROOT / "deploy" / "gunicorn.conf.py")
WITH_FLAG = sorted(setting.name for setting in KNOWN_SETTINGS if setting.cli and setting.name != "config")
TABLE = (set(options.TAKEN_OVER), set(options.LEFT_ALONE), set(options.REFUSED))


def example(name: str) -> list[str]:
    """The option with some value that gunicorn's parser takes."""
    setting = Config().settings[name]
    if setting.action in ("store_true", "store_const", "store_false"):
        return [options.flag(name)]
    value = {"http_protocols": "h2", "header_map": "dangerous", "raw_env": "A=B", "bind": "127.0.0.1:1"}.get(name, "7")
    return [f"{options.flag(name)}={value}"]


def test_table_names_every_option_of_gunicorn_once() -> None:
    assert sorted(set().union(*TABLE) - {"config"}) == WITH_FLAG
    assert sum(len(part) for part in TABLE) == len(set().union(*TABLE))


@pytest.mark.parametrize("name", sorted(set(options.REFUSED) - {"config"}))
def test_refused_option_ends_the_process_with_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    with pytest.raises(SystemExit) as ended:
        options.take_over(CONFIGURATION, example(name))
    text = str(ended.value.code)
    assert text.startswith(f"pacsync: {options.flag(name)} is refused: ")
    assert "\n" not in text


@pytest.mark.parametrize("name", sorted(options.LEFT_ALONE))
def test_option_left_alone_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execv", lambda *command: pytest.fail("it was started once more"))
    before = dict(os.environ)
    options.take_over(CONFIGURATION, example(name))
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    "argument",
    ["--worker-class=sync", "-kgevent", "-k=uvicorn.workers.UvicornWorker", "--timeout=3", "--accesslog=/tmp/log"],
)
def test_short_forms_and_values_refused(argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    argument = argument.replace("--accesslog", "--access-logfile")
    with pytest.raises(SystemExit, match="is refused"):
        options.take_over(CONFIGURATION, [argument])


@pytest.mark.parametrize(
    "arguments", [["--timeout=60"], ["--access-logfile=-", "--error-logfile", "-"], ["--timeout=0"]]
)
def test_values_that_pacsync_has_anyway_are_allowed(arguments: list[str]) -> None:
    options.take_over(CONFIGURATION, arguments)


@pytest.mark.parametrize("environment_has_it", [True, False])
@pytest.mark.parametrize("other", ["/etc/other.conf.py", "python:other"])
def test_another_configuration_is_refused(
    other: str, environment_has_it: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", f"--config {other}" if environment_has_it else "")
    arguments = [] if environment_has_it else ["-c", other]
    with pytest.raises(SystemExit, match=r"--config .* is refused"):
        options.take_over(CONFIGURATION, [*arguments, "--config", CONFIGURATION])


def taken(
    monkeypatch: pytest.MonkeyPatch, *arguments: str, from_environment: str = ""
) -> tuple[list[str], dict[str, str]]:
    """The command with which gunicorn is started once more, and the environment of that."""
    monkeypatch.setattr(os, "environ", dict(os.environ, GUNICORN_CMD_ARGS=from_environment, WEB_CONCURRENCY_FILE="/x"))
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, command: started.append(command))
    options.take_over(CONFIGURATION, ["pacsync.wsgi:application", "--config", CONFIGURATION, *arguments])
    assert len(started) == 1
    return started[0], dict(os.environ)


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--workers", "3"], "WEB_CONCURRENCY", "3"),
        (["-w3"], "WEB_CONCURRENCY", "3"),
        (["--threads=5"], "WEB_THREADS", "5"),
        (["--max-requests", "99"], "WEB_MAX_REQUESTS", "99"),
        (["--keep-alive", "7"], "WEB_KEEPALIVE", "7"),
        (["--graceful-timeout", "40"], "SHUTDOWN_TIMEOUT", "40"),
        (["--preload"], "PRELOAD_APP", "True"),
        (["--forwarded-allow-ips", "10.0.0.1"], "FORWARDED_ALLOW_IPS", "10.0.0.1"),
        (["--log-level", "debug"], "LOG_LEVEL", "debug"),
        (["-e", "DB_POOL_MAX_SIZE=4"], "DB_POOL_MAX_SIZE", "4"),
        (["--bind", "127.0.0.1:9001"], "HTTP_PORT", "9001"),
        (["--bind", "[::1]:9001"], "HTTP_HOST", "::1"),
        (["-b", ":9001"], "HTTP_HOST", ""),
        (["--bind", "unix:/run/pacsync.sock"], "HTTP_HOST", "unix:/run/pacsync.sock"),
    ],
)
def test_option_becomes_a_setting(arguments: list[str], name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command, env = taken(monkeypatch, *arguments)
    assert env[name] == value
    assert command[-3:] == ["pacsync.wsgi:application", "--config", CONFIGURATION]
    assert "GUNICORN_CMD_ARGS" not in env


def test_command_line_before_environment_and_the_rest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    command, env = taken(
        monkeypatch, "--workers=2", "--no-sendfile", from_environment="--workers 3 --threads 4 --backlog 9 --timeout 50"
    )
    assert (env["WEB_CONCURRENCY"], env["WEB_THREADS"]) == ("2", "4")
    assert "WEB_CONCURRENCY_FILE" not in env
    assert sorted(command[-3:]) == ["--backlog=9", "--no-sendfile", "--timeout=50"]


@pytest.mark.parametrize(
    "given",
    [
        ["--bind", "a:1", "--bind", "b:2"],
        ["--bind", "fd://3"],
        ["--bind", "host:many"],
        ["-e", "A"],
        ["--bind", ""],
        ["--bind", "unix:"],
    ],
)
def test_address_or_variable_that_makes_no_sense_is_refused(given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="is refused"):
        taken(monkeypatch, *given)


def test_gunicorns_worker_class_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    command, _ = taken(monkeypatch, "-k", "gthread")
    assert "gthread" not in " ".join(command)


def gunicorn(*arguments: str, **env: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gunicorn", "pacsync.wsgi:application", *arguments]
    variables = environment("sqlite:///unused", **env)
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=100)


def test_real_gunicorn_shows_what_it_took_over(tmp_path: Path) -> None:
    done = gunicorn(
        "--config", CONFIGURATION, "--threads", "9", "--print-config", GUNICORN_CMD_ARGS="--workers 3 -b [::1]:9"
    )
    found = {line.split()[0]: line.split(" = ")[1] for line in done.stdout.splitlines() if " = " in line}
    assert done.returncode == 0, done.stderr
    assert (found["workers"], found["threads"], found["bind"]) == ("3", "9", "['[::1]:9']")
    assert found["worker_class"] == options.WORKER


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["--config", CONFIGURATION, "--daemon"], {}, "pacsync: --daemon is refused: "),
        (["--config", CONFIGURATION, "-w", "0"], {}, "pacsync: WEB_CONCURRENCY must be at least 1 "),
        (["--config", CONFIGURATION], {"GUNICORN_CMD_ARGS": "-k sync"}, "pacsync: --worker-class is refused: "),
        (
            ["--config", CONFIGURATION, "--graceful-timeout=5"],
            {"SHUTDOWN_DRAIN_DELAY": 6},
            "pacsync: SHUTDOWN_DRAIN_DELAY",
        ),
    ],
)
def test_real_gunicorn_refuses_in_one_line(arguments: list[str], env: dict[str, object], said: str) -> None:
    done = gunicorn(*arguments, **env)
    lines = (done.stdout + done.stderr).strip().splitlines()
    assert done.returncode == 1
    assert len(lines) == 1 and lines[0].startswith(said), lines


def test_real_gunicorn_without_our_configuration_ends_and_says_so() -> None:
    done = gunicorn("--bind=127.0.0.1:0", "--no-control-socket")
    assert done.returncode == 3
    assert "gunicorn was started without --config deploy/gunicorn.conf.py" in done.stderr


def test_parser_of_configurations_knows_both_forms() -> None:
    assert options.configurations(["-c", "a", "--config=b", "-cc", "--workers", "3"]) == ["a", "b", "c"]
    assert isinstance(Config().parser(), argparse.ArgumentParser)
