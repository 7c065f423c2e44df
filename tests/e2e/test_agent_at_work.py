"""A machine whose pacman takes longer than it may be silent is at work, not offline."""

import signal
import time
from pathlib import Path

import pytest

from tests.support import agent
from tests.support.pacman import Fleet, Machine
from tests.support.site import Site

pytestmark = [pytest.mark.needs("pacman"), pytest.mark.needs("bash-static")]
OLD, NEW = "2025/01/01", "2025/02/01"
SILENT = 3  # seconds: three of the site's poll intervals


def behind(site: Site, path: Path) -> tuple[Machine, str, str]:
    """A machine that is behind its pool's target, its name, and the name of the machine that set the target."""
    fleet = Fleet(path)
    fleet.snapshot(OLD, [fleet.package("tool", "1-1")])
    fleet.snapshot(NEW, [fleet.package("tool", "2-1")])
    one, two = fleet.machine("m1", OLD), fleet.machine("m2", NEW)
    for machine in (one, two):
        machine.install("tool")
    name, other = site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    return one, name, other


def seen_of(site: Site, name: str, seconds: float, *, after: float = 0) -> list[str]:
    """The machine's status twice a second, for `seconds`, after a pause of `after` seconds."""
    time.sleep(after)
    seen = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        seen.append(site.call("GET", f"/endpoints/{name}")["status"])
        time.sleep(0.5)
    assert set(seen) <= {"behind", "offline"}
    return seen


def test_sync_that_takes_longer_than_the_silence_allowed_isnt_offline(site: Site, tmp_path: Path) -> None:
    one, name, other = behind(site, tmp_path)
    one.slow_down(4 * SILENT)
    process = agent.start(one, "sync")
    while not (one.dbpath / "db.lck").exists():
        assert process.poll() is None
        time.sleep(0.1)
    seen = seen_of(site, name, 3 * SILENT)
    assert seen.count("behind") > 0.8 * len(seen), seen  # a busy computer may keep a heartbeat back
    assert site.call("GET", f"/endpoints/{other}")["status"] == "offline"  # the twin: nothing is heard of it
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 0, out


def test_machine_that_waits_for_the_pacman_of_a_killed_agent_isnt_offline(site: Site, tmp_path: Path) -> None:
    one, name, _ = behind(site, tmp_path)
    one.slow_down(4 * SILENT)
    assert agent.run_killed_at(one, "pacman:started", "sync").code == -signal.SIGKILL
    process = agent.start(one, "sync")
    seen = seen_of(site, name, 2 * SILENT, after=SILENT)
    assert seen.count("behind") > 0.8 * len(seen), seen
    assert site.operations(name)[0]["hook"]["name"] == "slow.hook"
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 0, out
    assert site.operations(name)[0]["hook"] is None
