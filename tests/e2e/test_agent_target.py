"""What a target means on machines that know different things, and after a restore of the server's database."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.support import agent, migrated
from tests.support.pacman import Fleet, Machine
from tests.support.server import running_server
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")
OLD, NEW = "2025/01/01", "2025/02/01"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """`tray` and `olddep` are in the old repositories only: upstream dropped them."""
    made = Fleet(tmp_path)
    make = made.package
    made.snapshot(OLD, [make("base", "1-1"), make("tray", "1-1"), make("olddep", "1-1")])
    made.snapshot(NEW, [make("base", "2-1")])
    return made


def machine(fleet: Fleet, name: str, *more: str) -> Machine:
    made = fleet.machine(name, OLD)
    made.install("base", "tray", *more)
    return made


def upgraded(fleet: Fleet, name: str, *more: str) -> Machine:
    """A machine that everybody would take as the source: `pacman -Syu` on the new day."""
    made = machine(fleet, name, *more)
    made.go_to(NEW)
    made.upgrade()
    return made


# --- what the source has and the target doesn't manage


def test_sync_two_equal_machines_end_equal_whatever_the_age_of_their_databases(site: Site, fleet: Fleet) -> None:
    source, aged, refreshed = upgraded(fleet, "m1"), machine(fleet, "m2"), machine(fleet, "m3")
    refreshed.go_to(NEW)
    site.enroll(site.pool(), source, aged, refreshed)
    agent.run(source, "set-latest").ok()
    for one in (aged, refreshed):
        agent.run(one, "sync").ok()
        assert one.state() == source.state()
        assert "tray" in one.state()


def test_sync_dropped_package_that_a_foreign_one_needs_stays(site: Site, fleet: Fleet) -> None:
    source, one = upgraded(fleet, "m1", "olddep"), machine(fleet, "m2", "olddep")
    for each in (source, one):
        each.install_file(fleet.package("aurapp", "1-1", depends=["olddep"]))
    site.enroll(site.pool(), source, one)
    agent.run(source, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert one.state() == source.state() and one.problems() == []


def test_sync_unmanaged_package_absent_stays_absent(site: Site, fleet: Fleet) -> None:
    source, one = upgraded(fleet, "m1"), machine(fleet, "m2")
    one.pacman("-R", "tray")
    site.enroll(site.pool(), source, one)
    agent.run(source, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert sorted(one.state()) == ["base"]


def test_sync_name_that_only_the_targets_repositories_offer_is_removed(site: Site, fleet: Fleet) -> None:
    """The machine's own databases don't have it yet, so it looks foreign there; the target could have it and hasn't."""
    extra = fleet.package("extra", "1-1")
    fleet.snapshot(NEW, [fleet.package("base", "2-1"), extra])
    source, one = upgraded(fleet, "m1"), machine(fleet, "m2")
    one.install_file(extra)
    one.install_file(fleet.package("own", "1-1"))
    site.enroll(site.pool(), source, one)
    agent.run(source, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert sorted(one.state()) == ["base", "own", "tray"]


def test_set_latest_diff_and_status_list_what_is_left_out_and_why(site: Site, fleet: Fleet) -> None:
    source, one = upgraded(fleet, "m1"), machine(fleet, "m2")
    source.install_file(fleet.package("aurapp", "1-1"))
    source.go_to(NEW, options="IgnorePkg = keep*")
    for each in (source, one):
        each.install_file(fleet.package("keeper", "1-1"))
        each.install_file(fleet.package("linux", "1-1"))
    kernel, keeper = fleet.package("linux", "1-1"), fleet.package("keeper", "1-1")
    for day in (OLD, NEW):
        fleet.snapshot(day, [kernel, keeper], repo="own")
    for each, day in ((source, NEW), (one, OLD)):
        each.repos = ("core", "own")
        each.go_to(day)
    site.enroll(site.pool(excluded_packages=["linux*"]), one, source)
    out = agent.run(source, "set-latest").ok().out
    expected = {"held": "keeper", "dropped from the repositories": "tray", "excluded": "linux", "foreign": "aurapp"}
    for title, name in expected.items():
        assert f"  {title}: {name}\n" in out + "\n", out
    # On the other machine `tray` is in the repositories still, and `keeper` isn't held.
    for command in ("diff", "status"):
        out = agent.run(one, command).ok().out
        assert "  dropped from the repositories: tray (not managed by the target)" in out, out
        assert "  held: keeper (not managed by the target)" in out, out
    answer = agent.run(one, "diff", "--json").ok().last
    assert {"name": "tray", "why": "dropped"} in answer["unmanaged"]
    assert "tray" not in {change["name"] for change in answer["changes"]}


# --- a server that was restored from a backup


class Restorable:
    """A migrated SQLite database that is taken back to a copy, while the machines of its server go on."""

    def __init__(self, directory: Path) -> None:
        self.path, self.copy = directory / "site.sqlite3", directory / "copy.sqlite3"
        self.url = migrated.sqlite(self.path)

    def back_up(self) -> None:
        with sqlite3.connect(self.path) as present, sqlite3.connect(self.copy) as copy:
            present.backup(copy)

    def restore(self) -> None:
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.path.write_bytes(self.copy.read_bytes())


def automatic(site: Site, name: str) -> list[dict[str, Any]]:
    return [operation for operation in site.operations(name) if operation["author"].startswith("policy:")]


def test_restored_server_turns_no_machine_back_until_an_operator_confirms(tmp_path: Path, fleet: Fleet) -> None:
    database = Restorable(tmp_path)
    source, one = machine(fleet, "m1"), machine(fleet, "m2")
    with running_server(database.url, POLL_SECONDS=1) as server:
        site = Site(server, database.url)
        pool = site.pool(auto_sync=True, conflict_resolution="oldest")
        _, name = site.enroll(pool, source, one)
        agent.run(source, "set-latest").ok()
        agent.run(one, "once").ok()
        database.back_up()
        source.go_to(NEW)
        source.upgrade()
        agent.run(source, "set-latest").ok()
        agent.run(one, "once").ok()
        newest = one.state()
        assert newest["base"][0] == "2-1"
        server.stop()
        database.restore()
        server.start()
        # Each machine's next report is answered with the old target.
        for each in (source, one, source, one):
            out = agent.run(each, "once").ok().out
            assert "is older than revision 2, which this machine has seen" in out, out
            assert each.state()["base"][0] == "2-1"
        assert (automatic(site, name), one.state()) == ([], newest)
        assert [alarm["alarm"] for alarm in site.call("GET", f"/pools/{pool}")["alarms"]] == ["unknown_revision"]
        confirmed = site.call("POST", f"/pools/{pool}/confirm", {"expected_number": 1})
        assert site.call("GET", f"/pools/{pool}")["target"] == 3, confirmed
        assert "older" not in agent.run(one, "once").ok().out
        assert one.state()["base"][0] == "1-1"  # what the operator confirmed is the old state


def test_once_automatic_sync_to_an_older_revision_is_refused_and_by_hand_it_is_done(site: Site, fleet: Fleet) -> None:
    """A server that takes no notice of what the machine has seen."""
    source, one = upgraded(fleet, "m1"), machine(fleet, "m2")
    pool = site.pool(auto_sync=True, conflict_resolution="oldest")
    other = site.pool()
    site.enroll(pool, source)
    [name] = site.enroll(other, one)
    agent.run(source, "set-latest").ok()
    site.call("PUT", f"/endpoints/{name}/pool", {"pool": pool})  # what it saw in another pool isn't believed
    seen = agent.state_dir(one) / "revision.json"
    seen.write_text(json.dumps({"pool": pool, "number": 9, "digest": "0" * 64}))
    before = one.state()
    done = agent.run(one, "once", "--json").refused(3).last
    assert (done["code"], one.state()) == ("revision_went_back", before)
    [operation] = site.operations(name)
    assert (operation["status"], operation["result"]["code"]) == ("failed", "revision_went_back")
    agent.run(one, "once").ok()
    assert len(site.operations(name)) == 1 and one.state() == before
    assert json.loads(seen.read_text())["number"] == 9
    agent.run(one, "sync").ok()
    assert one.state() == source.state()


def test_new_targets_in_daily_use_are_no_restored_server(site: Site, fleet: Fleet) -> None:
    """The source's own report has a sync back to the last target queued, just before it sets the next one."""
    source, one = machine(fleet, "m1", "olddep"), machine(fleet, "m2")
    pool = site.pool(auto_sync=True, conflict_resolution="oldest")
    names = site.enroll(pool, source, one)
    agent.run(source, "set-latest").ok()
    agent.run(one, "once").ok()
    for change in (["-R", "olddep"], ["-R", "tray"]):
        source.pacman(*change)
        agent.run(one, "once", "--report-only").ok()
        agent.run(source, "set-latest").ok()
        for each in (source, one):
            assert "restored" not in agent.run(each, "once").ok().out
        assert one.state() == source.state()
    codes = {(operation["result"] or {}).get("code") for name in names for operation in site.operations(name)}
    assert "target_changed" in codes and "revision_went_back" not in codes


def test_once_automatic_sync_to_another_content_under_the_same_number_is_refused(site: Site, fleet: Fleet) -> None:
    source, one = upgraded(fleet, "m1"), machine(fleet, "m2")
    pool = site.pool(auto_sync=True, conflict_resolution="oldest")
    site.enroll(pool, source)
    [name] = site.enroll(site.pool(), one)
    agent.run(source, "set-latest").ok()
    site.call("PUT", f"/endpoints/{name}/pool", {"pool": pool})
    seen = agent.state_dir(one) / "revision.json"
    seen.write_text(json.dumps({"pool": pool, "number": 1, "digest": "0" * 64}))
    before = one.state()
    done = agent.run(one, "once", "--json").refused(3).last
    assert (done["code"], one.state()) == ("revision_went_back", before)
    assert "isn't what this machine has seen under that number" in done["message"]


def test_enroll_again_forgets_what_was_seen(site: Site, fleet: Fleet) -> None:
    source = machine(fleet, "m1")
    pool = site.pool()
    site.enroll(pool, source)
    agent.run(source, "set-latest").ok()
    agent.run(source, "once").ok()
    seen = agent.state_dir(source) / "revision.json"
    assert json.loads(seen.read_text()) | {"digest": ""} == {"pool": pool, "number": 1, "digest": ""}
    other = site.pool()
    known = ("--server", site.server.url, "--code", site.code(other), "--name", f"{source.name}-again", "--force")
    agent.run(source, "enroll", *known).ok()
    assert not seen.exists()
