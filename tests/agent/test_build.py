"""The agent as one file: the same bytes each time, served with their digest, running on the oldest Python."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from apps.agent import build
from apps.agent.pacsync_agent.cli.command_list import COMMANDS

AGENT = build.ROOT / "apps/agent/pacsync_agent"


def test_build_twice_gives_the_same_bytes() -> None:
    assert build.build() == build.build()
    assert build.build().startswith(b"#!/usr/bin/env python3\n")


def test_agent_view_serves_the_file_with_its_digest(client: Client) -> None:
    answer = client.get("/agent/pacsync-agent")
    assert answer.status_code == 200
    assert answer.content == build.build()
    digest = hashlib.sha256(answer.content).digest()
    assert answer["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"
    listed = client.get("/agent/pacsync-agent.sha256").content.decode()
    assert listed == f"{digest.hex()}  pacsync-agent\n"


def test_agent_view_known_etag_answers_not_modified(client: Client) -> None:
    etag = client.get("/agent/pacsync-agent")["ETag"]
    assert client.get("/agent/pacsync-agent", headers={"If-None-Match": etag}).status_code == 304
    assert client.get("/agent/pacsync-agent", headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.post("/agent/pacsync-agent").status_code == 405


def test_build_agent_command_writes_an_executable(tmp_path: Path) -> None:
    target = tmp_path / "pacsync-agent"
    call_command("build_agent", str(target), verbosity=0)
    done = subprocess.run([sys.executable, target, "--version"], capture_output=True, text=True, cwd="/", check=True)
    assert done.stdout == "pacsync-agent 1.0.0\n"
    assert target.stat().st_mode & 0o111 == 0o111


def test_build_agent_command_unwritable_path_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="can't be written"):
        call_command("build_agent", str(tmp_path / "no" / "such"))


def python39() -> str:
    """A Python 3.9 that runs: on PATH (pyenv's stand-ins there may lead nowhere), or among pyenv's own."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "/nonexistent"))
    candidates = [shutil.which("python3.9"), *map(str, pyenv.glob("versions/3.9.*/bin/python3.9"))]
    for candidate in candidates:
        if candidate and subprocess.run([candidate, "--version"], capture_output=True).returncode == 0:
            return candidate
    pytest.skip("no Python 3.9 on PATH")


@pytest.mark.parametrize("command", [one.name for one in COMMANDS])
def test_agent_python_39_shows_help_of_every_command(command: str, tmp_path: Path) -> None:
    target = tmp_path / "pacsync-agent"
    build.write(target)
    done = subprocess.run(
        [python39(), "-W", "error", target, command, "--help"], capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    assert "exit statuses" in done.stdout


def test_every_module_can_be_the_first_that_is_imported() -> None:
    """Modules that import each other work or not by which comes first, and tests begin with another one."""
    script = """
import importlib, sys
for name in sys.argv[1:]:
    for known in [one for one in sys.modules if one.startswith("apps.")]:
        del sys.modules[known]
    try:
        importlib.import_module(f"apps.agent.pacsync_agent.{name}")
    except ImportError as error:
        print(f"{name}: {error}")
"""
    names = sorted(
        ".".join(path.relative_to(AGENT).with_suffix("").parts)
        for path in AGENT.glob("**/*.py")
        if path.stem not in {"__main__", "__init__"}
    )
    assert len(names) > 50
    done = subprocess.run([sys.executable, "-c", script, *names], cwd=build.ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
