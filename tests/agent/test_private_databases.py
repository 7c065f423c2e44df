"""The private fetch of sync databases: real pacman, mirrors and signatures; the machine's own stay as they are."""

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from apps.agent.pacsync_agent import pacman_conf, private_databases
from apps.agent.pacsync_agent.pacman_conf import PacmanConf
from tests.support.hostile import Behaviour, Hostile, Peer
from tests.support.pacman import Fleet, Machine, pacman_pid
from tests.support.wait import until

pytestmark = pytest.mark.needs("pacman")
OLD, NEW = "2025/01/01", "2025/02/01"
NOBODY = "http://127.0.0.1:9/$repo"


@dataclass
class Files:
    conf: PacmanConf
    state_dir: Path
    stop: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    made = Fleet(tmp_path)
    made.snapshot(OLD, [made.package("app", "1-1")])
    made.snapshot(NEW, [made.package("app", "2-1"), made.package("new", "1-1")])
    return made


@pytest.fixture
def machine(fleet: Fleet) -> Machine:
    return fleet.machine("m1", OLD)


def files_of(machine: Machine) -> Files:
    directory = machine.directory / "agent"
    directory.mkdir(exist_ok=True)
    return Files(pacman_conf.read(machine.config, None, None), directory)


def kept(files: Files) -> list[Path]:
    """The databases and signatures that lie in the agent's directory."""
    return list(private_databases.directory_of(files.state_dir).glob("*/sync/*"))


def point_to(machine: Machine, day: str) -> None:
    """Another day's mirror, without `-Sy`."""
    machine.configure(f"{machine.fleet.base_url}/repos/{day}/$repo/os/$arch")


def versions(found: private_databases.Databases, repository: str = "core") -> dict[str, str]:
    return {package.name: package.version for package in found.readable[repository].packages}


def test_fetch_gives_the_mirrors_current_database_and_leaves_the_machines_own(machine: Machine) -> None:
    point_to(machine, NEW)
    own = machine.dbpath / "sync/core.db"
    before = (own.read_bytes(), own.stat().st_mtime_ns, sorted(machine.dbpath.rglob("*")))
    found = private_databases.fetch(files_of(machine), ["core"])
    assert (versions(found), found.reasons) == ({"app": "2-1", "new": "1-1"}, {})
    assert (own.read_bytes(), own.stat().st_mtime_ns, sorted(machine.dbpath.rglob("*"))) == before


def test_fetch_while_another_pacman_holds_the_machines_lock_works(machine: Machine) -> None:
    (machine.dbpath / "db.lck").touch()
    assert versions(private_databases.fetch(files_of(machine), ["core"])) == {"app": "1-1"}
    assert (machine.dbpath / "db.lck").exists()


def test_fetch_mirror_went_back_to_an_older_day_is_taken_too(machine: Machine) -> None:
    """pacman asks with If-Modified-Since, and an older database would be no change."""
    point_to(machine, NEW)
    private_databases.fetch(files_of(machine), ["core"])
    point_to(machine, OLD)
    assert versions(private_databases.fetch(files_of(machine), ["core"])) == {"app": "1-1"}


def test_fetch_mirror_that_is_a_link_was_moved_is_followed_both_ways(machine: Machine) -> None:
    """The address is the same, and the files are of the same second."""
    current = machine.fleet.archive / "repos/current"
    point_to(machine, "current")
    for day, version in ((NEW, "2-1"), (OLD, "1-1"), (NEW, "2-1")):
        current.unlink(missing_ok=True)
        current.symlink_to(machine.fleet.archive / "repos" / day)
        assert versions(private_databases.fetch(files_of(machine), ["core"]))["app"] == version


def test_fetch_failure_is_tried_again_sooner_than_a_success(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_of(machine)
    day = machine.fleet.archive / "repos" / OLD / "core/os/x86_64/core.db"
    content = day.read_bytes()
    day.unlink()
    assert private_databases.fetch(files, ["core"]).reasons
    day.write_bytes(content)
    now = time.time()
    monkeypatch.setattr(private_databases.time, "time", lambda: now + 1000)
    assert private_databases.fetch(files, ["core"], max_age=3600).readable
    day.unlink()
    monkeypatch.setattr(private_databases.time, "time", lambda: now + 3000)
    assert private_databases.fetch(files, ["core"], max_age=3600).readable


def test_fetch_cut_off_before_pacman_took_the_database_is_repeated(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was downloaded by then lies where a good one would be, and the one before was fetched lately."""
    files = files_of(machine)
    private_databases.fetch(files, ["core"])
    point_to(machine, NEW)
    run = private_databases._Fetching._run

    def cut_off(self: Any, reason: str, config: Path, *arguments: str) -> str:
        if arguments[0] == "-Sl":
            raise RuntimeError
        return run(self, reason, config, *arguments)

    monkeypatch.setattr(private_databases._Fetching, "_run", cut_off)
    with pytest.raises(RuntimeError):
        private_databases.fetch(files, ["core"])
    monkeypatch.undo()
    asked: list[str] = []
    monkeypatch.setattr(private_databases._Fetching, "_run", lambda self, *words: asked.append(words[2]) or "no")
    point_to(machine, OLD)  # whose section was fetched lately
    assert private_databases.fetch(files, ["core"], max_age=3600).readable == {} and asked == ["-Syy"]


def test_fetch_one_of_two_repositories_has_no_mirror_the_other_is_read(machine: Machine) -> None:
    with machine.config.open("a") as config:
        config.write(f"[gone]\nServer = {NOBODY}\n[empty]\n")
    found = private_databases.fetch(files_of(machine), ["core", "gone", "empty", "unheard"])
    assert set(found.readable) == {"core"}
    assert sorted(found.reasons) == ["empty", "gone", "unheard"]
    assert found.reasons["gone"] == "no mirror gives a valid one" and found.reasons["empty"] == "it has no mirror"
    assert "pacman.conf" in found.reasons["unheard"]


def test_fetch_repository_that_pacman_does_not_sync_is_fetched(machine: Machine) -> None:
    with machine.config.open("a") as config:
        config.write("Usage = Install\n")
    assert versions(private_databases.fetch(files_of(machine), ["core"])) == {"app": "1-1"}


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b cut off"])
def test_fetch_database_that_is_no_database_has_a_reason_and_is_not_kept(machine: Machine, content: bytes) -> None:
    (machine.fleet.archive / "repos" / OLD / "core/os/x86_64/core.db").write_bytes(content)
    files = files_of(machine)
    found = private_databases.fetch(files, ["core"])
    assert not found.readable and found.reasons["core"]
    assert not kept(files)


def test_fetch_again_within_max_age_asks_nobody_also_after_a_failure(machine: Machine) -> None:
    files = files_of(machine)
    database = machine.fleet.archive / "repos" / OLD / "core/os/x86_64/core.db"
    content = database.read_bytes()
    database.unlink()
    assert private_databases.fetch(files, ["core"]).reasons
    database.write_bytes(content)
    assert private_databases.fetch(files, ["core"], max_age=600).reasons
    assert private_databases.fetch(files, ["core"]).readable
    database.unlink()
    assert private_databases.fetch(files, ["core"], max_age=600).readable
    assert private_databases.fetch(files, ["core"]).reasons


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


def sign(directory: Path, path: Path) -> None:
    subprocess.run(
        ["gpg", "--homedir", directory, "--batch", "--yes", "--detach-sign", path], check=True, capture_output=True
    )


@pytest.mark.needs("gpg", "pacman-key")
def test_fetch_database_must_be_signed_as_the_machines_siglevel_wants(machine: Machine) -> None:
    gnupg, database = machine.directory / "gnupg", machine.fleet.archive / "repos" / OLD / "core/os/x86_64/core.db"
    try:
        subprocess.run(["pacman-key", "--gpgdir", gnupg, "--init"], check=True, capture_output=True)
        machine.configure(
            f"{machine.fleet.base_url}/repos/{OLD}/$repo/os/$arch", "SigLevel = PackageNever DatabaseRequired"
        )
        files = files_of(machine)
        assert private_databases.fetch(files, ["core"]).reasons  # no signature at all
        sign(gnupg, database)
        assert versions(private_databases.fetch(files, ["core"])) == {"app": "1-1"}
        machine.fleet.snapshot(OLD, [machine.fleet.package("app", "9-1")])  # the signature of another content
        found = private_databases.fetch(files, ["core"])
        assert not found.readable and "core" in found.reasons
        assert not kept(files)
    finally:
        shutil.rmtree(gnupg, ignore_errors=True)


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
from apps.agent.pacsync_agent import pacman_conf, private_databases
from apps.agent.pacsync_agent.errors import Interrupted
from apps.agent.pacsync_agent.signals import Signals
signals = Signals()
signals.install()
conf = pacman_conf.read(Path(sys.argv[1]), None, None)
try:
    private_databases.fetch(types.SimpleNamespace(conf=conf, state_dir=Path(sys.argv[2])), ["core"])
except Interrupted:
    sys.exit(3)
"""
