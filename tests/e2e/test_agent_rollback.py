"""A machine whose file system went back to a snapshot from before its last sync stays there, although its pool syncs.

The snapshot is a copy of its root. A real one keeps inode numbers too, so that the agent knows its own lock again.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.test_agent_power import once
from tests.support import agent
from tests.support.pacman import Fleet, Machine
from tests.support.site import Site
from tests.support.wait import until

pytestmark = [
    pytest.mark.needs("pacman"),
    pytest.mark.skipif(os.geteuid() != 0, reason="another boot id needs a mount, and that needs root"),
]
OLD, NEW = "2025/01/01", "2025/02/01"


class Rollback:
    """`one` follows a pool with automatic sync, of which `two` is the source."""

    def __init__(self, fleet: Fleet, site: Site) -> None:
        self.site = site
        old = [fleet.package("tool", "1-1"), fleet.package("lib", "1-1")]
        fleet.snapshot(OLD, old)
        fleet.snapshot(NEW, [fleet.package("tool", "2-1"), fleet.package("lib", "2-1")])
        self.one, self.two = fleet.machine("m1", OLD), fleet.machine("m2", NEW)
        for machine in (self.one, self.two):
            machine.install("tool", "lib")
        self.name, _ = site.enroll(site.pool(auto_sync=True), self.one, self.two)
        agent.run(self.two, "set-latest").ok()
        self.old, self.new = self.one.state(), self.two.state()

    def resting(self) -> str | None:
        found = self.site.call("GET", f"/endpoints/{self.name}")["resting"]
        return found and str(found["why"])


@pytest.fixture
def world(fleet: Fleet, site: Site) -> Rollback:
    return Rollback(fleet, site)


def snapshot_of(machine: Machine) -> Path:
    kept = machine.directory / "snapshot"
    subprocess.run(["cp", "-a", machine.root, kept], check=True)
    return kept


def restore(machine: Machine, snapshot: Path) -> None:
    shutil.rmtree(machine.root)
    snapshot.rename(machine.root)


def test_machine_that_was_rolled_back_stays_until_somebody_asks(world: Rollback) -> None:
    kept = snapshot_of(world.one)
    agent.run(world.one, "once").ok()
    assert world.one.state() == world.new
    restore(world.one, kept)
    for _ in range(2):
        agent.run(world.one, "once").ok()
        assert world.one.state() == world.old and world.resting() == "rolled_back"
    assert len(world.site.operations(world.name)) == 1
    out = agent.run(world.one, "status").ok().out
    assert "because the last sync was rolled back here; an operator can resume it" in out
    agent.run(world.one, "sync").ok()
    assert world.one.state() == world.new and world.resting() is None


def test_machine_that_was_rolled_back_follows_once_somebody_resumes_it(world: Rollback) -> None:
    kept = snapshot_of(world.one)
    agent.run(world.one, "once").ok()
    restore(world.one, kept)
    agent.run(world.one, "once").ok()
    world.site.call("POST", f"/endpoints/{world.name}/resume", {})
    agent.run(world.one, "once").ok()
    assert world.one.state() == world.new and world.resting() is None


@pytest.mark.needs("bash-static")
def test_snapshot_that_a_hook_of_pacman_took_is_not_taken_for_a_sync_that_was_cut_off(
    world: Rollback, tmp_path: Path
) -> None:
    """It has the agent's journal, and nothing was begun. Without the server nobody knows, so the agent waits."""
    world.one.slow_down(60)
    killed = agent.run_killed_at(world.one, "pacman:started", "once")
    assert killed.code == -signal.SIGKILL, killed
    log = world.one.directory / "pacman.log"
    until(lambda: log.exists() and "running 'slow.hook'" in log.read_text(), 60)
    kept = snapshot_of(world.one)
    (kept / "var/lib/pacman/db.lck").unlink(missing_ok=True)
    (world.one.directory / "hooks" / "slow.hook").unlink()  # pacman has it; the next one need not wait
    (world.one.root / "never").write_text("go on\n")
    agent.run(world.one, "once").ok()
    assert world.one.state() == world.new
    restore(world.one, kept)
    assert (agent.state_dir(world.one) / "journal.json").exists()
    done = once(world.one, tmp_path).ok()
    assert "a snapshot from before it was restored: leaving it so." in done.out
    assert world.one.state() == world.old and world.resting() == "rolled_back"
    assert not (agent.state_dir(world.one) / "journal.json").exists()
    agent.run(world.one, "once").ok()
    assert world.one.state() == world.old
    assert [one["status"] for one in world.site.operations(world.name)] == ["succeeded"]
