"""A target from a machine that needs less: foretold on the server, refused by the machine, forced only by itself."""

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support import agent
from tests.support.pacman import Fleet, Machine
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")
DAY = "2025/01/01"
NEEDED = ("python", "linux", "grub", "openssh", "networkmanager", "pacsync-agent")


def machines(site: Site, path: Path) -> tuple[Machine, str]:
    """One with all that a machine needs, and its name; the target has `base` alone."""
    fleet = Fleet(path)
    fleet.snapshot(DAY, [fleet.package(name, "1-1") for name in ("base", *NEEDED)])
    one, bare = fleet.machine("m1", DAY), fleet.machine("m2", DAY)
    one.install("base", *NEEDED)
    bare.install("base")
    name, _ = site.enroll(site.pool(), one, bare)
    agent.run(bare, "set-latest").ok()
    return one, name


def result(site: Site, name: str) -> dict[str, Any]:
    found = site.operations(name)[0]
    assert found["status"] == "failed"
    return dict(found["result"])


def test_sync_that_removes_what_the_machine_needs_is_foretold_and_refused(site: Site, tmp_path: Path) -> None:
    one, name = machines(site, tmp_path)
    before = one.state()
    foretold = agent.run(one, "diff").ok().out
    assert "refused here: it would remove grub (it is the last boot loader), linux" in foretold
    assert {entry["name"] for entry in site.call("GET", f"/endpoints/{name}/diff")["refused"]} == set(NEEDED)
    site.call("POST", "/operations", {"kind": "sync", "endpoint": name})  # an operator may ask, and no more
    agent.run(one, "once").refused(3)
    refused = result(site, name)
    assert refused["code"] == "protected" and all(f"{needed} (" in refused["message"] for needed in NEEDED)
    assert one.state() == before


def test_sync_that_removes_what_the_machine_needs_is_forced_on_the_machine_alone(site: Site, tmp_path: Path) -> None:
    one, _ = machines(site, tmp_path)
    few = [word for needed in NEEDED[1:] for word in ("--force-remove", needed)]
    done = agent.run(one, "sync", "--json", *few).refused(3).last
    assert done["code"] == "protected" and "python (" in done["message"] and "grub" not in done["message"]
    assert set(one.state()) == {"base", *NEEDED}
    agent.run(one, "sync", *few, "--force-remove", "python").ok()
    assert set(one.state()) == {"base"}


def test_force_that_a_killed_agent_was_given_is_remembered_for_its_operation(site: Site, tmp_path: Path) -> None:
    one, name = machines(site, tmp_path)
    few = [word for needed in NEEDED for word in ("--force-remove", needed)]
    assert agent.run_killed_at(one, "enter:gather", "sync", *few).code == -signal.SIGKILL
    assert set(one.state()) == {"base", *NEEDED}
    agent.run(one, "once").ok()
    assert set(one.state()) == {"base"}
    assert site.operations(name)[0]["status"] == "succeeded"
