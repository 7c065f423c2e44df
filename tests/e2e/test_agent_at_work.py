"""A machine whose pacman takes longer than it may be silent is at work, not offline."""

import time
from pathlib import Path

import pytest

from tests.support import agent
from tests.support.pacman import Fleet
from tests.support.site import Site

pytestmark = [pytest.mark.needs("pacman"), pytest.mark.needs("bash-static")]
OLD, NEW = "2025/01/01", "2025/02/01"
SILENT = 3  # seconds: three of the site's poll intervals


def test_sync_that_takes_longer_than_the_silence_allowed_isnt_offline(site: Site, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.snapshot(OLD, [fleet.package("tool", "1-1")])
    fleet.snapshot(NEW, [fleet.package("tool", "2-1")])
    one, two = fleet.machine("m1", OLD), fleet.machine("m2", NEW)
    for machine in (one, two):
        machine.install("tool")
    name, other = site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    one.slow_down(4 * SILENT)
    process = agent.start(one, "sync")
    while not (one.dbpath / "db.lck").exists():
        assert process.poll() is None
        time.sleep(0.1)
    seen = []
    until = time.monotonic() + 3 * SILENT
    while time.monotonic() < until:
        seen.append(site.call("GET", f"/endpoints/{name}")["status"])
        time.sleep(0.5)
    assert set(seen) <= {"behind", "offline"}
    assert seen.count("behind") > 0.8 * len(seen), seen  # a busy computer may keep a heartbeat back
    assert site.call("GET", f"/endpoints/{other}")["status"] == "offline"  # the twin: nothing is heard of it
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 0, out
