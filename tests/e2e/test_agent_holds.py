"""Packages that a machine holds by a group, which the repository or the package names."""

import pytest

from tests.e2e.grouped_machines import NEW, OLD, two_machines
from tests.support import agent
from tests.support.pacman import Fleet
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")


def test_report_holds_groups_are_spelled_out(site: Site, fleet: Fleet) -> None:
    one, two = two_machines(fleet, options="IgnoreGroup = co*\nIgnorePkg = nothing*")
    [name, _] = site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    agent.run(one, "once").ok()
    assert site.call("GET", f"/endpoints/{name}")["holds"] == ["base", "nothing*"]
    agent.run(one, "sync").ok()
    assert one.state() == two.state() | {"base": ("1-1", "explicit")}


def test_report_holds_group_that_only_the_repository_says(site: Site, fleet: Fleet) -> None:
    """The package got its group after it was installed: pacman, and so the agent, goes by both."""
    one, two = two_machines(fleet, options="IgnoreGroup = late")
    fleet.snapshot(OLD, [fleet.package("tool", "1.5-1", groups=["late"]), fleet.package("base", "1-1")])
    one.pacman("-Syy")
    name, _ = site.enroll(site.pool(), one, two)
    assert site.call("GET", f"/endpoints/{name}")["holds"] == ["tool"]
    assert "tool: ignoring package upgrade" in one.pacman("-Su")


def test_sync_ignored_group_that_only_the_package_says_is_refused(site: Site, fleet: Fleet) -> None:
    one, two = two_machines(fleet, options="IgnoreGroup = late")
    late = fleet.package("extra", "2-1", groups=["late"])
    fleet.snapshot(NEW, [fleet.package("tool", "2-1"), fleet.package("base", "2-1", groups=["core"]), late])
    two.upgrade()
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    before = one.state()
    done = agent.run(one, "sync", "--json").refused(3)
    assert (done.last["code"], one.state()) == ("held_package", before)
    fleet.snapshot(OLD, [fleet.package("tool", "2-1"), fleet.package("base", "2-1", groups=["core"]), late])
    one.pacman("-Syy")
    agent.run(one, "once").ok()
    agent.run(one, "sync").ok()
    assert one.state() == {name: found for name, found in two.state().items() if name != "extra"}
