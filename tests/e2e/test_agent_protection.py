"""A target from a machine that needs less: foretold on the server, refused by the machine, forced only by itself."""

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


def test_sync_that_removes_what_the_machine_needs_is_foretold_refused_and_forced_here_alone(
    site: Site, tmp_path: Path
) -> None:
    one, name = machines(site, tmp_path)
    before = one.state()
    foretold = agent.run(one, "diff").ok().out
    assert "refused here: it would remove grub (it is the last boot loader), linux" in foretold
    assert {entry["name"] for entry in site.call("GET", f"/endpoints/{name}/diff")["refused"]} == set(NEEDED)

    site.call("POST", "/operations", {"kind": "sync", "endpoint": name})  # by an operator: no more than asked for
    agent.run(one, "once").refused(3)
    assert result(site, name)["code"] == "protected"
    done = agent.run(one, "sync", "--json").refused(3).last
    assert done["code"] == "protected" and all(f"{needed} (" in done["message"] for needed in NEEDED)
    assert one.state() == before

    few = [word for needed in NEEDED[1:] for word in ("--force-remove", needed)]
    assert "python (" in agent.run(one, "sync", "--json", *few).refused(3).last["message"]
    agent.run(one, "sync", *few, "--force-remove", "python").ok()
    assert set(one.state()) == {"base"}
    agent.run(one, "revert").ok()
    assert one.state() == before

    one.agent_config("trust_target_files = yes", "protect =")  # its own configuration: for good
    agent.run(one, "sync").ok()
    assert set(one.state()) == {"base"}
