"""A clone in which `make run` has been: what it printed works there, and nothing but development uses its key."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.isolation import SET
from tests.support.load import get
from tests.support.postgres import free_port
from tests.support.server import ROOT
from tests.support.wait import until

PARTS = ("apps", "pacsync", "deploy", "manage.py")
BARE = {"PATH": os.environ["PATH"], **SET}


def make_clone(folder: Path) -> Path:
    """A copy of the code, as in a fresh clone; its .venv is that of these tests."""
    folder.mkdir()
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    (folder / "data").mkdir()
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def answers(port: int) -> bool:
    try:
        return get(port, "/health/ready", timeout=5)[0] == 200
    except OSError:
        return False


def run_and_interrupt(clone: Path, **env: str) -> str:
    """Start the server as `make run` does, press Ctrl-C once it is ready; what it said."""
    port = free_port()
    with (clone / "said").open("wb") as said:
        process = subprocess.Popen(
            [clone / "deploy/run.sh"],
            env={**BARE, "HTTP_PORT": str(port), **env},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        until(lambda: process.poll() is not None or answers(port), 90)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(40)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
    return (clone / "said").read_text()


def manage(clone: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=clone, env=BARE | env, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """(the clone, what `make run` said there)"""
    clone = make_clone(tmp_path_factory.mktemp("clone") / "pacsync")
    yield clone, run_and_interrupt(clone)


def test_run_prints_a_command_that_works_in_another_terminal(used: tuple[Path, str]) -> None:
    clone, said = used
    (line,) = [line.strip() for line in said.splitlines() if line.endswith("manage.py createsuperuser")]
    done = manage(clone, "sh", "-c", line.replace("createsuperuser", "create_enrolment_code"))
    assert done.returncode == 0 and done.stdout.strip(), done.stderr
    done = manage(clone, "sh", "-c", line.replace("createsuperuser", "healthcheck --timeout 60"))
    assert (done.returncode, done.stdout) == (0, "ready: Requests can be served.\n")


def test_run_is_for_this_machine_alone_and_its_files_for_its_user(used: tuple[Path, str]) -> None:
    clone, said = used
    assert re.findall(r"Listening at: http://(\S+):\d+ ", said) == ["127.0.0.1"]
    assert "It listens on 127.0.0.1, for this machine alone. For others, too: make run HTTP_HOST=0.0.0.0" in said
    assert "WARNING: it listens" not in said and "other users could read" not in said
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (clone / "data", *(clone / "data").iterdir())}
    assert modes["data"] == 0o700
    assert modes["pacsync.sqlite3"] == modes["secret_key"] == 0o600


@pytest.mark.parametrize(
    ("env", "host"), [({"HTTP_HOST": "0.0.0.0"}, "0.0.0.0"), ({"HTTP_HOST": ""}, r"\[::\]|0.0.0.0")]
)
def test_run_that_other_machines_reach_says_so_loudly(tmp_path: Path, env: dict[str, str], host: str) -> None:
    said = run_and_interrupt(make_clone(tmp_path / "pacsync"), **env)
    assert re.search(rf"Listening at: http://({host}):\d+ ", said)
    assert "WARNING: it listens on " in said and "for this machine alone. For others" not in said


def test_run_takes_the_address_from_a_file(tmp_path: Path) -> None:
    """As every variable."""
    (tmp_path / "host").write_text("0.0.0.0\n")
    said = run_and_interrupt(make_clone(tmp_path / "pacsync"), HTTP_HOST_FILE=str(tmp_path / "host"))
    assert re.search(r"Listening at: http://0\.0\.0\.0:\d+ ", said)


def test_readme_names_the_same_command(used: tuple[Path, str]) -> None:
    command = next(line.strip() for line in used[1].splitlines() if line.endswith("manage.py createsuperuser"))
    text = (ROOT / "README.md").read_text()
    assert text.count(command.removesuffix("createsuperuser")) == text.count("manage.py ") > 0


@pytest.mark.parametrize(
    "env", [{}, {"ENVIRONMENT": ""}, *({"ENVIRONMENT": e} for e in ("production", "staging", "test"))]
)
def test_outside_development_the_key_that_run_made_is_not_used(used: tuple[Path, str], env: dict[str, str]) -> None:
    done = manage(used[0], ".venv/bin/python", "manage.py", "check", **env)
    assert done.returncode == 1
    assert done.stderr.startswith("pacsync: SECRET_KEY is not set")
    assert len(done.stderr.splitlines()) == 1


def test_run_in_production_makes_no_key(tmp_path: Path) -> None:
    clone = make_clone(tmp_path / "pacsync")
    assert "SECRET_KEY is not set" in run_and_interrupt(clone, ENVIRONMENT="production")
    assert list((clone / "data").iterdir()) == []


def test_run_with_a_key_of_ones_own_does_not_use_the_file(tmp_path: Path) -> None:
    clone = make_clone(tmp_path / "pacsync")
    (clone / "data/secret_key").write_text("of the file")
    code = "from django.conf import settings; print(settings.SECRET_KEY)"
    command = (".venv/bin/python", "manage.py", "shell", "--no-imports", "-c", code)
    assert manage(clone, *command, ENVIRONMENT="development").stdout == "of the file\n"
    assert manage(clone, *command, ENVIRONMENT="development", SECRET_KEY="mine").stdout == "mine\n"
