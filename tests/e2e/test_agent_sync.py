"""Three machines, one pool: set-latest, sync and revert with the real pacman and the real server."""

from pathlib import Path

import pytest

from tests.e2e.three_months import FEBRUARY, JANUARY, machines, three_months, to_march
from tests.support import agent
from tests.support.pacman import Fleet, Machine
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return three_months(tmp_path)


def foreign(fleet: Fleet, machine: Machine) -> None:
    machine.install_file(fleet.package("foreign", "0.1-1"))


def test_sync_to_a_newer_machine_is_exact_and_keeps_the_foreign_package(site: Site, fleet: Fleet) -> None:
    one, two, three = machines(fleet, "m1", "m2", "m3")
    foreign(fleet, three)
    to_march(two)
    before = {machine.name: machine.state() for machine in (one, three)}
    pool = site.pool()
    names = site.enroll(pool, one, two, three)
    agent.run(two, "set-latest", "--comment", "March").ok()
    target = two.state()
    for machine in (one, three):
        done = agent.run(machine, "sync").ok()
        assert f"In sync with pool {pool}, revision 1" in done.out
    assert one.state() == target
    assert three.state() == target | {"foreign": ("0.1-1", "explicit")}
    for machine in (one, three):
        assert machine.problems() == []
        assert "nothing to do" in agent.run(machine, "sync").ok().out
    assert len(site.operations(names[0])) == 1
    assert one.file("usr/share/app/version") == b"2.0-1"
    assert one.file("usr/share/leaf/version") is None
    for machine in (one, three):
        agent.run(machine, "revert").ok()
        assert machine.state() == before[machine.name]
        assert machine.problems() == []
    assert one.file("usr/share/leaf/version") == b"1.0-1"


def test_sync_backwards_to_an_older_machine_is_exact(site: Site, fleet: Fleet) -> None:
    one, two = machines(fleet, "m1", "m2")
    to_march(one)
    before = one.state()
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert one.state() == two.state()
    assert one.problems() == []
    agent.run(one, "revert").ok()
    assert one.state() == before


def test_sync_sideways_between_diverged_machines_is_exact(site: Site, fleet: Fleet) -> None:
    one, two = machines(fleet, "m1", "m2")
    one.go_to(FEBRUARY)
    one.pacman("-S", "held", "ringa")
    one.pacman("-R", "host", "plug")
    two.go_to(FEBRUARY)
    two.pacman("-S", "tool", "libfoo")
    two.pacman("-D", "--asdeps", "odd")
    before = one.state()
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert one.state() == two.state()
    assert one.problems() == []
    agent.run(one, "revert").ok()
    assert one.state() == before


def test_sync_newcomer_that_provides_the_version_that_goes_is_not_hit_by_its_removal(site: Site, fleet: Fleet) -> None:
    one, two = machines(fleet, "m1", "m2")
    plain = fleet.package("plain", "1.0-1")
    # No conflict of its own: only the plan says that `plain` goes.
    other = fleet.package("other", "1.0-1", provides=["plain=1.0"])
    for machine in (one, two):
        fleet.snapshot(FEBRUARY, [plain, other], repo="extra")
        machine.repos = ("core", "extra")
        machine.go_to(FEBRUARY)
    one.install("plain")
    two.install("other")
    before = one.state()
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert one.state() == two.state()
    agent.run(one, "revert").ok()
    assert one.state() == before


def test_sync_removals_only_is_exact(site: Site, fleet: Fleet) -> None:
    one, two = machines(fleet, "m1", "m2")
    two.pacman("-R", "host", "plug", "usesc")
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert one.state() == two.state()


def test_sync_install_reasons_only_is_exact_without_a_transaction(site: Site, fleet: Fleet) -> None:
    one, two = machines(fleet, "m1", "m2")
    two.pacman("-D", "--asdeps", "tool", "odd")
    two.pacman("-D", "--asexplicit", "plug")
    log = (one.directory / "pacman.log").read_text()
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert one.state() == two.state()
    assert "transaction started" not in (one.directory / "pacman.log").read_text()[len(log) :]


def test_sync_held_package_stays_and_the_rest_moves(site: Site, fleet: Fleet) -> None:
    one, two = machines(fleet, "m1", "m2")
    one.go_to(JANUARY, options="IgnorePkg = hel*")
    two.go_to(FEBRUARY)
    two.upgrade()
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert one.state() == two.state() | {"held": ("1.0-1", "explicit")}
    assert "nothing to do" in agent.run(one, "sync").ok().out


def test_sync_hold_pattern_that_matches_the_repositorys_name_leaves_nothing(site: Site, fleet: Fleet) -> None:
    one, two = machines(fleet, "m1", "m2")
    one.go_to(JANUARY, options="HoldPkg = pac*")
    to_march(two)
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert one.state() == two.state()
    assert not list(one.dbpath.glob("sync/pacsync*"))


def test_sync_corrupt_cached_file_is_downloaded_again(site: Site, fleet: Fleet) -> None:
    one, two = machines(fleet, "m1", "m2")
    two.go_to(FEBRUARY)
    two.upgrade()
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    for name in ("tool-1.1-1-any.pkg.tar.zst", "libfoo-1.1-1-x86_64.pkg.tar.zst"):
        (one.cache / name).write_bytes((two.cache / name).read_bytes()[:-30])
    (one.cache / ".held-1.1-1-any.pkg.tar.zst.pacsync-part").write_bytes(b"half of something else")
    agent.run(one, "sync").ok()
    assert one.state() == two.state()


def test_sync_existing_problem_is_not_blamed_on_it(site: Site, fleet: Fleet) -> None:
    one, two = machines(fleet, "m1", "m2")
    for machine in (one, two):
        machine.pacman("-Rdd", "plug")
    two.go_to(FEBRUARY)
    two.pacman("-S", "tool")
    site.enroll(site.pool(), one, two)
    assert agent.run(two, "set-latest", "--json").refused(3).last["code"] == "unsound_source"
    agent.run(two, "set-latest", "--force").ok()
    agent.run(one, "sync").ok()
    assert one.state() == two.state()
    assert one.problems() == two.problems() != []


def test_sync_failing_scriptlet_is_a_warning(site: Site, fleet: Fleet) -> None:
    one, two = machines(fleet, "m1", "m2")
    two.install_file(fleet.package("script", "1-1", install="post_install() { false; }\n"))
    fleet.snapshot(FEBRUARY, [fleet.package("script", "1-1", install="post_install() { false; }\n")], repo="extra")
    for machine in (one, two):
        machine.repos = ("core", "extra")
        machine.go_to(FEBRUARY)
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    done = agent.run(one, "sync", "--json").ok()
    assert one.state() == two.state()
    assert done.last["warnings"]
    assert "the scriptlet of script failed: " in done.out or "change the root" in done.out


def test_sync_big_target_without_a_cache_is_exact(site: Site, fleet: Fleet) -> None:
    old = [fleet.package(f"big{number:03}", "1-1") for number in range(300)]
    new = [
        fleet.package(f"big{number:03}", "2-1", depends=[f"big{number - 1:03}"] if number else [])
        for number in range(250)
    ]
    fleet.snapshot("2025/04/01", old)
    fleet.snapshot("2025/05/01", new)
    one, two = fleet.machine("b1", "2025/04/01"), fleet.machine("b2", "2025/05/01")
    one.install(*[package.name for package in old])
    two.install("big249")
    before = one.state()
    one.empty_cache()
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert one.state() == two.state()
    assert len(one.state()) == 250
    agent.run(one, "revert").ok()
    assert one.state() == before
