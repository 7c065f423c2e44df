"""Syncs that are refused with the real pacman and the real server: the reason is named, and nothing changes."""

from pathlib import Path

import pytest

from tests.e2e.three_months import FEBRUARY, JANUARY, machines, three_months, to_march
from tests.support import agent
from tests.support.pacman import Fleet
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return three_months(tmp_path)


def test_sync_hold_that_breaks_the_target_is_refused_and_nothing_changes(site: Site, fleet: Fleet) -> None:
    one, two = machines(fleet, "m1", "m2")
    one.go_to(JANUARY, options="IgnorePkg = leaf")
    to_march(two)
    before = one.state()
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    done = agent.run(one, "sync").refused(3)
    assert "rehearsal" in done.err and "libfoo" in done.err
    assert one.state() == before


def test_sync_removal_of_a_protected_package_is_refused_and_nothing_changes(site: Site, fleet: Fleet) -> None:
    one, two = machines(fleet, "m1", "m2")
    one.go_to(JANUARY, options="HoldPkg = pl*")
    to_march(two)
    before = one.state()
    [name, _] = site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    done = agent.run(one, "sync", "--json").refused(3)
    assert done.last["code"] == "protected_package"
    assert "plug" in done.last["message"]
    assert one.state() == before
    assert site.operations(name)[0]["status"] == "failed"


def test_sync_package_nowhere_to_be_had_is_refused_by_name(site: Site, fleet: Fleet) -> None:
    one, two = machines(fleet, "m1", "m2")
    two.go_to(FEBRUARY)
    two.upgrade()
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    for path in fleet.archive.rglob("tool-1.1-1-any.pkg.tar.zst"):
        path.unlink()
    before = one.state()
    done = agent.run(one, "sync", "--json").refused(3)
    assert done.last["code"] == "package_unavailable"
    assert "tool 1.1-1" in done.last["message"]
    assert one.state() == before
    # Somebody puts the file into the cache: then it works.
    (one.cache / "tool-1.1-1-any.pkg.tar.zst").write_bytes((two.cache / "tool-1.1-1-any.pkg.tar.zst").read_bytes())
    agent.run(one, "sync").ok()
    assert one.state() == two.state()


def test_sync_target_with_a_new_problem_is_refused(site: Site, fleet: Fleet) -> None:
    one, two = machines(fleet, "m1", "m2")
    two.pacman("-Rdd", "plug")
    before = one.state()
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest", "--force").ok()
    done = agent.run(one, "sync", "--json").refused(3)
    assert done.last["code"] == "rehearsal_failed"
    assert one.state() == before


def test_sync_file_in_the_way_fails_with_its_name_and_nothing_changes(site: Site, fleet: Fleet) -> None:
    one, two = machines(fleet, "m1", "m2")
    two.go_to(FEBRUARY)
    two.pacman("-S", "ringa")
    path = one.root / "usr/share/ringb/version"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    before = one.state()
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    done = agent.run(one, "sync", "--json").refused(1)
    assert done.last["code"] == "file_conflict"
    assert "usr/share/ringb/version" in done.last["message"]
    assert one.state() == before
    assert path.read_text() == "mine"
