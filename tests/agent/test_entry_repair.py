"""Entries of the database that the agent completed are known, and their packages are installed once more."""

from pathlib import Path

import pytest

from apps.agent.pacsync_agent.databases import local_db
from tests.support import direct
from tests.support.mtree import with_mtree
from tests.support.pacman import Fleet

pytestmark = pytest.mark.needs("pacman")
DAY = "2025/01/01"


def test_recover_another_package_with_a_broken_entry_is_installed_once_more(tmp_path: Path) -> None:
    """It isn't of the operation. Its entry is completed, because pacman does nothing before that."""
    fleet = Fleet(tmp_path)
    tool = fleet.package("tool", "1-1", files=with_mtree({"usr/lib/tool": b"t"}), depends=["lib"], groups=["g"])
    fleet.snapshot(DAY, [tool, fleet.package("lib", "1-1"), fleet.package("app", "1-1")])
    machine = fleet.machine("m", DAY)
    machine.install("tool", "lib", "app", asdeps=["lib"])
    before = [line for line in machine.pacman("-Qi", "tool").splitlines() if "Date" not in line and "Valid" not in line]
    state = machine.state()
    (machine.dbpath / "local/tool-1-1/desc").unlink()
    direct.agent_of(machine).recover(direct.packages(state), ["app"])
    assert not any(package.incomplete for package in local_db.read(machine.dbpath).values())
    after = machine.pacman("-Qi", "tool").splitlines()
    assert before == [line for line in after if "Date" not in line and "Valid" not in line]
    assert machine.state() == state and machine.pacman("-Qdt", check=False) == ""
