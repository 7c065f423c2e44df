"""A private fetch of sync databases that is cut off, stopped or killed: it ends in time and is in nobody's way."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from apps.agent.pacsync_agent.databases import private_databases
from tests.agent.private_fetches import NEW, OLD, Files, files_of, old_machine, point_to, versions
from tests.support.hostile import Behaviour, Hostile, Peer
from tests.support.pacman import Machine, pacman_pid
from tests.support.wait import until

pytestmark = pytest.mark.needs("pacman")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return old_machine(tmp_path)


def test_fetch_cut_off_before_pacman_took_the_database_is_repeated(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was downloaded by then lies where a good one would be, and the one before was fetched lately."""
    files = files_of(machine)
    private_databases.fetch(files, ["core"])
    point_to(machine, NEW)
    run = private_databases.Fetching.run_pacman

    def cut_off(self: Any, reason: str, config: Path, *arguments: str) -> str:
        if arguments[0] == "-Sl":
            raise RuntimeError
        return run(self, reason, config, *arguments)

    monkeypatch.setattr(private_databases.Fetching, "run_pacman", cut_off)
    with pytest.raises(RuntimeError):
        private_databases.fetch(files, ["core"])
    monkeypatch.undo()
    asked: list[str] = []
    monkeypatch.setattr(private_databases.Fetching, "run_pacman", lambda self, *words: asked.append(words[2]) or "no")
    point_to(machine, OLD)  # whose section was fetched lately
    assert private_databases.fetch(files, ["core"], max_age=3600).readable == {} and asked == ["-Syy"]


def test_fetch_lock_that_a_killed_one_left_is_in_nobodys_way(machine: Machine) -> None:
    files = files_of(machine)
    private_databases.fetch(files, ["core"])
    (private_databases.directory_of(files.state_dir) / "repository-core/db.lck").touch()
    assert private_databases.fetch(files, ["core"]).readable


def test_fetch_mirror_that_never_answers_ends_in_time_or_by_a_signal(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mirror:
        machine.configure(f"http://127.0.0.1:{mirror.getsockname()[1]}/$repo")
        monkeypatch.setattr(private_databases, "TIME_LIMIT", 1.0)
        began = time.monotonic()
        files = files_of(machine)
        assert "longer than 1 s" in private_databases.fetch(files, ["core"]).reasons["core"]
        files.stop.set()
        assert "stop" in private_databases.fetch(files, ["core"]).reasons["core"]
        assert time.monotonic() - began < 8


def endless(peer: Peer) -> None:
    if not peer.path.endswith(".db"):
        return peer.answer(status="404 Not Found")
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    peer.endless(b"x" * 65536)


def dripping(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    peer.endless(b"x", pause=0.2)


def lies_there(files: Files) -> list[str]:
    """The names of the files in the agent's directory for the repository, except for what it remembers."""
    top = private_databases.directory_of(files.state_dir) / "repository-core"
    return sorted(path.name for path in top.rglob("*") if path.is_file() and path.name != private_databases.MEMORY)


@pytest.mark.parametrize("answer", [endless, dripping, lambda peer: peer.answer(b"no database")])
def test_fetch_that_fails_leaves_nothing_of_what_came(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, answer: Behaviour
) -> None:
    monkeypatch.setattr(private_databases, "LARGEST", 8 << 20)
    monkeypatch.setattr(private_databases, "TIME_LIMIT", 6.0)
    files = files_of(machine)
    with Hostile(answer) as mirror:
        machine.configure(f"{mirror.url}/$repo")
        files = files_of(machine)
        assert private_databases.fetch(files, ["core"]).reasons
    assert lies_there(files) == []


def test_fetch_finds_what_a_killed_one_left_and_removes_it(machine: Machine) -> None:
    files = files_of(machine)
    sync = private_databases.directory_of(files.state_dir) / "repository-core/sync"
    sync.mkdir(parents=True)
    for left in (sync / "core.db.part", sync / "download-Xy/core.db", sync.parent / "db.lck"):
        left.parent.mkdir(exist_ok=True)
        left.write_bytes(b"x")
    assert versions(private_databases.fetch(files, ["core"])) == {"app": "1-1"}
    assert not {"core.db.part", "db.lck"} & set(lies_there(files)) and lies_there(files).count("core.db") == 1


def test_fetch_that_was_stopped_is_not_remembered_as_a_failure(machine: Machine) -> None:
    files = files_of(machine)
    files.stop.set()
    assert "stop" in private_databases.fetch(files, ["core"]).reasons["core"]
    files.stop.clear()
    assert private_databases.fetch(files, ["core"], max_age=3600).readable


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_fetch_ends_with_the_agent(machine: Machine, number: signal.Signals) -> None:
    """As a program, with its signals; the main thread waits, others run pacman."""
    files = files_of(machine)
    with Hostile(dripping) as mirror:
        machine.configure(f"{mirror.url}/$repo")
        process = subprocess.Popen([sys.executable, "-c", AGENT, machine.config, files.state_dir], cwd=ROOT)
        until(lambda: mirror.sent > 60, seconds=30)
        assert pacman_pid(machine)
        process.send_signal(number)
        process.wait(10)
        if number == signal.SIGTERM:
            assert process.returncode == 3 and not pacman_pid(machine)
        until(lambda: not pacman_pid(machine), seconds=3)


ROOT = Path(__file__).resolve().parents[2]
AGENT = """
import sys, types
from pathlib import Path
from apps.agent.pacsync_agent.databases import private_databases
from apps.agent.pacsync_agent.errors import Interrupted
from apps.agent.pacsync_agent.pacman import configuration
from apps.agent.pacsync_agent.system.signals import Signals
signals = Signals()
signals.install()
conf = configuration.read(Path(sys.argv[1]), None, None)
try:
    private_databases.fetch(types.SimpleNamespace(conf=conf, state_dir=Path(sys.argv[2])), ["core"])
except Interrupted:
    sys.exit(3)
"""
