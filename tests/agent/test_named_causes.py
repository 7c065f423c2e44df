"""Failures name their cause: the path in the cache, the room that is needed."""

import os
import subprocess
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.context import only_agent
from apps.agent.pacsync_agent.errors import Local, Refused
from apps.agent.pacsync_agent.system import disk_full, files
from tests.support import direct
from tests.support.pacman import Fleet

pytestmark = [pytest.mark.needs("pacman"), pytest.mark.skipif(os.geteuid() != 0, reason="only root changes packages")]
DAY = "2025/01/01"


def test_room_that_is_needed_is_said_and_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(Refused) as error:
        disk_full.check(tmp_path, size=1 << 60, count=0, what="it")
    assert "1.0 EiB are needed" in error.value.message or "GiB are needed" in error.value.message
    assert "0 inodes" not in error.value.message
    with pytest.raises(Refused, match=r"no room for it: [0-9]+ inodes are needed"):
        disk_full.check(tmp_path, size=0, count=1 << 60, what="it")


@pytest.mark.parametrize("suffix", ["", ".sig"])
def test_directory_of_the_packages_name_in_the_cache_is_named(tmp_path: Path, suffix: str) -> None:
    fleet = Fleet(tmp_path)
    made = fleet.package("tool", "1-1")
    fleet.snapshot(DAY, [made])
    machine = fleet.machine("m", DAY)
    cache = machine.cache
    machine.pacman("-Sy")
    (cache / f"{made.path.name}{suffix}" / "x").mkdir(parents=True)
    with pytest.raises(Local) as error:
        direct.bring(machine, direct.packages({"tool": ("1-1", "explicit")}))
    path = cache / f"{made.path.name}{suffix}"
    assert error.value.code == "download_failed"
    assert error.value.message == f"Downloads can't be kept: {path}: Is a directory."
    path.rename(tmp_path / "aside")  # as the hint says
    assert f"Move {path} to another place" in error.value.hint
    direct.bring(machine, direct.packages({"tool": ("1-1", "explicit")}))
    assert machine.state() == {"tool": ("1-1", "explicit")}


def test_files_that_killed_processes_left_are_removed_by_the_next_start(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    others = [".journal.json.new", "journal.json", ".x.1.new", ".x.new"]
    gone = [f".journal.json.{ended.pid}.new", f".a.b.{os.getpid()}.new", f".x.{10**30}.new"]
    for name in (*others, *gone):
        (tmp_path / name).touch()
    with only_agent(tmp_path, wait=0):
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "agent.lock"])
    files.write_json(tmp_path / "journal.json", {})
