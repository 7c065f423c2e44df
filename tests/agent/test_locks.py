"""Whose a lock of pacman's database is, and what is said of one that isn't the agent's."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.errors import Busy
from apps.agent.pacsync_agent.pacman import configuration, lock_check
from apps.agent.pacsync_agent.pacman.own_lock import OwnLock
from tests.support.pacman import Fleet

# A shell's child that makes the lock as libalpm does, and keeps it open.
HOLDER = "import os,sys,time; os.open(sys.argv[1], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0); time.sleep(60)"


@pytest.fixture
def own(tmp_path: Path) -> OwnLock:
    (tmp_path / "log").write_text("")
    made = OwnLock(tmp_path, tmp_path / "log")
    made.begin()
    return made


def test_own_lock_seen_while_its_pacman_runs_is_known_afterwards(own: OwnLock, tmp_path: Path) -> None:
    lock = tmp_path / "db.lck"
    # dash would become the program itself; what follows keeps it waiting, as the agent's own shell does.
    shell = subprocess.Popen(["/bin/sh", "-c", '"$@"; exit 1', "sh", sys.executable, "-c", HOLDER, str(lock)])
    deadline = time.monotonic() + 60
    while not own.see(tmp_path, shell.pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    children = Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text().split()
    for pid in (*map(int, children), shell.pid):
        os.kill(pid, 9)
    shell.wait()
    assert own.is_there(tmp_path)
    lock.unlink()
    time.sleep(0.02)
    lock.touch()  # somebody else's, perhaps with the same inode number
    assert not own.is_there(tmp_path)


def test_own_lock_of_somebody_else_is_not_remembered(own: OwnLock, tmp_path: Path) -> None:
    (tmp_path / "db.lck").touch()
    shell = subprocess.Popen(["/bin/sh", "-c", "sleep 60; exit 1"])
    assert not own.see(tmp_path, shell.pid)
    shell.kill()
    shell.wait()


@pytest.mark.parametrize(
    ("said", "after", "ours"),
    [
        ("resolving dependencies...\n", False, True),
        ("", False, False),
        ("error: failed to init transaction (unable to lock database)\n", False, False),
        ("resolving dependencies...\n", True, False),  # made after its last words: by another pacman
    ],
)
def test_own_lock_that_nobody_saw_is_told_by_what_pacman_said(
    own: OwnLock, tmp_path: Path, said: str, after: bool, ours: bool
) -> None:
    time.sleep(0.02)
    lock = tmp_path / "db.lck"
    if not after:
        lock.touch()
        time.sleep(0.02)
    own.log.write_text(said)
    if after:
        time.sleep(0.02)
        lock.touch()
    assert own.is_there(tmp_path) is ours
    own.path.write_text(json.dumps({"boot": "another"}))
    assert not own.is_there(tmp_path)


@pytest.mark.needs("pacman")
def test_lock_that_nobody_seems_to_hold_is_only_said_so_where_everybody_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = Fleet(tmp_path)
    fleet.snapshot("2025/01/01", [fleet.package("a", "1-1")])
    machine = fleet.machine("m", "2025/01/01")
    conf = configuration.read(machine.config, None, None)
    lock_check.check_unlocked(conf)
    (machine.dbpath / "db.lck").touch()
    here = os.stat("/proc/self/ns/pid").st_ino
    monkeypatch.setattr(lock_check, "HOST_NAMESPACE", here)
    with pytest.raises(Busy, match="no process holds it"):
        lock_check.check_unlocked(conf)
    monkeypatch.setattr(lock_check, "HOST_NAMESPACE", here + 1)
    with pytest.raises(Busy) as busy:
        lock_check.check_unlocked(conf)
    assert "can't be seen from here: this is a container" in busy.value.message
    assert "no process" not in busy.value.message and busy.value.hint.startswith("Look for a pacman")
    monkeypatch.setattr(lock_check, "HOST_NAMESPACE", here)
    monkeypatch.setattr(lock_check, "SHARED", (lock_check.file_system(machine.dbpath),))
    with pytest.raises(Busy, match="other machines may use the file system"):
        lock_check.check_unlocked(conf)
