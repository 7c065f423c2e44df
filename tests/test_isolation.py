"""A test run depends on nothing of its caller: variables, signals, umask, what lies in the checkout."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import isolation, postgres

ROOT = Path(__file__).resolve().parents[1]
HOSTILE = {
    "DATABASE_URL": "mysql://nobody",
    "SECRET_KEY": "",
    "SECRET_KEY_FILE": "/nonexistent",
    "ENVIRONMENT": "prod",
    "HTTP_PORT": "80",
    "WEB_CONCURRENCY": "many",
    "GUNICORN_CMD_ARGS": "--bind 127.0.0.1:1",
    "DJANGO_SETTINGS_MODULE": "nonexistent.settings",
    "PGHOST": "192.0.2.1",
    "PGOPTIONS": "-c nonsense=1",
    "http_proxy": "http://192.0.2.1:1",
    "TMPDIR": "/nonexistent",
    "HOME": "/nonexistent",
    "LC_ALL": "xx_XX",
    "COLUMNS": "7",
}
# What a program sees that a test starts: its variables, its signals, its umask.
SEEN = """
import json, os, signal
of_python = {signal.SIGPIPE, signal.SIGXFSZ}
ignored = [n for n in signal.valid_signals() - of_python if signal.getsignal(n) == signal.SIG_IGN]
blocked = list(signal.pthread_sigmask(signal.SIG_BLOCK, []))
print(json.dumps({"env": dict(os.environ), "ignored": ignored, "blocked": blocked, "umask": os.umask(0)}))
"""
STARTS = f"""
import subprocess, sys
if sys.argv[1:] == ["isolated"]:
    from tests.support import isolation
    isolation.isolate()
subprocess.run([sys.executable, "-c", {SEEN!r}], check=True)
"""


def hostile() -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
    os.umask(0o077)


def seen(*arguments: str, before: Callable[[], None] = hostile) -> dict[str, object]:
    command = [sys.executable, "-c", STARTS, *arguments]
    env = {"PATH": os.environ["PATH"], **HOSTILE}
    done = subprocess.run(command, cwd=ROOT, env=env, preexec_fn=before, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_isolate_what_a_test_starts_sees_nothing_of_a_hostile_caller() -> None:
    found = seen("isolated")
    assert found["ignored"] == [] and found["blocked"] == [] and found["umask"] == 0o022
    env = found["env"]
    assert isinstance(env, dict)
    assert {name for name, value in HOSTILE.items() if env.get(name) == value} == set()


def test_without_isolate_it_sees_all_of_it() -> None:
    found = seen()
    assert found["ignored"] and found["blocked"] and found["umask"] == 0o077
    env = found["env"]
    assert isinstance(env, dict) and env.items() >= HOSTILE.items()


def test_isolate_the_folder_of_the_run_is_deleted_at_its_end() -> None:
    env = seen("isolated")["env"]
    assert isinstance(env, dict)
    assert not Path(env[isolation.RUN]).exists()


def test_this_run_is_isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    known = isolation.KEPT | isolation.KEPT_BY_WORKERS | isolation.SET.keys()
    ours = {"SECRET_KEY", "ENVIRONMENT", "STRUCTURED_LOGGING", "DJANGO_SETTINGS_MODULE", "DATABASE_URL", "HOME"}
    others = {
        name for name in os.environ if name not in known | ours and not name.startswith(("PYTEST_", "HYPOTHESIS_"))
    }
    assert others == set()


@pytest.mark.parametrize("count", [1, 2, 6])
def test_free_port_workers_have_ranges_of_their_own(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    found = []
    for number in range(count):
        monkeypatch.setenv(isolation.WORKER, f"gw{number}")
        monkeypatch.setenv(isolation.WORKERS, str(count))
        found.append({postgres.free_port() for _ in range(200)})
    assert sum(map(len, found)) == len(set().union(*found)) == 200 * count
    assert min(map(min, found)) >= 16_384 and max(map(max, found)) < 32_768


def test_free_port_that_somebody_has_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("", postgres.free_port()))
        port = taken.getsockname()[1]
        monkeypatch.setattr(postgres, "_ports", iter([port - 16_384, port - 16_384 + 1, port - 16_384 + 2]))
        monkeypatch.delenv(isolation.WORKER, raising=False)
        assert postgres.free_port() in {port + 1, port + 2}


ONCE = """
import sys, time
from tests.support import isolation
def make(path):
    time.sleep(0.2)
    with path.open("a") as file:
        file.write("made\\n")
print(isolation.once("thing", make).read_text(), end="")
"""


def test_once_several_processes_at_once_it_is_made_once(tmp_path: Path) -> None:
    env = os.environ | {isolation.RUN: str(tmp_path)}
    started = [
        subprocess.Popen([sys.executable, "-c", ONCE], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [process.communicate(timeout=60)[0] for process in started] == ["made\n"] * 4


def test_once_that_failed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(isolation.RUN, str(tmp_path))
    with pytest.raises(NotADirectoryError):
        isolation.once("thing", lambda path: (tmp_path / "thing.lock" / "x").touch())
    assert isolation.once("thing", Path.touch).exists()
