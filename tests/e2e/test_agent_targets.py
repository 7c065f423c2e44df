"""What a target says and who may set it, with the real pacman and the real server; and a server from a backup."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.support import agent, migrated
from tests.support.pacman import Fleet, Machine
from tests.support.server import manage, running_server
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")
OLD, NEW = "2025/01/01", "2025/02/01"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Two months of a repository; in the second one `tray` was dropped."""
    fleet = Fleet(tmp_path)
    base, app = [fleet.package("base", f"{number}-1") for number in (1, 2)], fleet.package("app", "1-1")
    fleet.snapshot(OLD, [base[0], app, fleet.package("tray", "1-1")])
    fleet.snapshot(NEW, [base[1], app])
    return fleet


def machine(fleet: Fleet, name: str, *installed: str) -> Machine:
    made = fleet.machine(name, OLD)
    made.install(*(installed or ("base", "app", "tray")))
    return made


def upgraded(fleet: Fleet, name: str) -> Machine:
    """As its admin does it: the new day, everything that there is to upgrade; `tray` stays and is foreign now."""
    made = machine(fleet, name)
    made.go_to(NEW)
    made.upgrade()
    return made


def test_set_latest_without_the_right_is_refused_until_an_operator_gives_it(site: Site, fleet: Fleet) -> None:
    one = machine(fleet, "m1")
    pool = site.pool()
    code = site.call("POST", "/enrolment-codes", {"pool": pool})["code"]
    agent.run(one, "enroll", "--server", site.server.url, "--code", code, "--name", "plain").ok()
    refused = agent.run(one, "set-latest")
    assert refused.code != 0 and "An operator can make plain's packages the target" in refused.err
    assert site.call("GET", f"/pools/{pool}")["target"] is None
    site.call("PATCH", "/endpoints/plain", {"may_set_targets": True})
    agent.run(one, "set-latest").ok()


def test_dropped_package_two_equal_machines_end_equal_whatever_the_age_of_their_databases(
    site: Site, fleet: Fleet
) -> None:
    source = upgraded(fleet, "m2")
    never, refreshed = machine(fleet, "m3"), machine(fleet, "m4")
    lacking = machine(fleet, "m5", "base", "app")
    refreshed.go_to(NEW)
    pool = site.pool()
    site.enroll(pool, source, never, refreshed, lacking)
    for one in (never, refreshed, lacking):
        agent.run(one, "once").ok()
    agent.run(source, "set-latest").ok()
    revision = site.call("GET", f"/pools/{pool}/targets/1")
    assert revision["unmanaged"] == [{"name": "tray", "why": "dropped"}]
    packages = {one["name"]: one for one in site.call("GET", f"/pools/{pool}/targets/1/packages")["packages"]}
    built = fleet.package("base", "2-1")  # the same bytes again
    assert (packages["base"]["repository"], packages["base"]["filename"]) == ("core", built.path.name)
    assert (packages["base"]["sha256"], packages["base"]["size"]) == (built.sha256, built.path.stat().st_size)
    for one in (never, refreshed, lacking):
        agent.run(one, "sync").ok()
    assert never.state() == refreshed.state() == source.state()
    assert {name: version for name, (version, _) in lacking.state().items()} == {"base": "2-1", "app": "1-1"}


@pytest.mark.parametrize("reported_before", [True, False])
def test_dropped_and_removed_at_the_source_two_equal_machines_end_equal(
    site: Site, fleet: Fleet, *, reported_before: bool
) -> None:
    """`tray` goes where the server saw that a repository had it; else both keep it, and the target says so."""
    source = upgraded(fleet, "m2")
    source.pacman("-R", "tray")
    never, refreshed = machine(fleet, "m3"), machine(fleet, "m4")
    pool = site.pool()
    if not reported_before:
        refreshed.go_to(NEW)
    site.enroll(pool, source, never, refreshed)
    for one in (never, refreshed):
        agent.run(one, "once").ok()
    refreshed.go_to(NEW)
    agent.run(refreshed, "once").ok()
    agent.run(source, "set-latest").ok()
    for one in (never, refreshed):
        agent.run(one, "sync").ok()
        assert ("tray" in one.state()) is not reported_before
    assert never.state() == refreshed.state()
    unmanaged = site.call("GET", f"/pools/{pool}/targets/1")["unmanaged"]
    assert unmanaged == ([] if reported_before else [{"name": "tray", "why": "dropped"}])


def test_approval_no_machine_follows_a_target_of_an_endpoint_before_it(site: Site, fleet: Fleet) -> None:
    source, one = upgraded(fleet, "m2"), machine(fleet, "m1")
    pool = site.pool(auto_sync=True, endpoint_targets_need_approval=True)
    site.enroll(pool, source, one)
    before = one.state()
    waits = "Automatic sync waits until an operator approves revision 1."
    assert waits in agent.run(source, "set-latest").ok().out
    agent.run(one, "once").ok()
    assert one.state() == before
    assert waits in agent.run(one, "status").ok().out
    site.call("POST", f"/pools/{pool}/targets/1/approve")
    assert waits not in agent.run(one, "status").ok().out
    agent.run(one, "once").ok()
    assert one.state() == source.state()


def test_server_from_a_backup_turns_nobody_back_before_an_operator_confirms(tmp_path: Path, fleet: Fleet) -> None:
    path = tmp_path / "site.sqlite3"
    url = migrated.sqlite(path)
    one, two = machine(fleet, "m1"), machine(fleet, "m2")
    with running_server(url, POLL_SECONDS=1) as server:
        site = Site(server, url)
        pool = site.pool(auto_sync=True, conflict_resolution="oldest")
        names = site.enroll(pool, one, two)
        agent.run(two, "set-latest").ok()
        with (
            contextlib.closing(sqlite3.connect(path)) as live,
            contextlib.closing(sqlite3.connect(f"{path}.old")) as to,
        ):
            live.backup(to)
        two.go_to(NEW)
        two.upgrade()
        agent.run(two, "set-latest").ok()
        newest = site.call("GET", f"/pools/{pool}/targets/2")
        agent.run(one, "once").ok()
        assert one.state() == two.state()
    Path(f"{path}.old").replace(path)
    for leftover in ("-wal", "-shm"):
        Path(f"{path}{leftover}").unlink(missing_ok=True)
    with running_server(url, POLL_SECONDS=1) as server:
        site.server = server
        move(one, two, to=server.url)
        newer = one.state()
        say_what_it_saw(site, names[0], one, newest)
        for machine_ in (one, two):
            agent.run(machine_, "once").ok()
            assert machine_.state() == newer
        (alarm,) = site.call("GET", f"/pools/{pool}")["alarms"]
        assert (alarm["alarm"], alarm["endpoint"]) == ("unknown_revision", names[0])
        done = manage(url, "confirm_target", pool)
        assert done.returncode == 0, done.stderr
        confirmed = site.call("GET", f"/pools/{pool}")
        assert (confirmed["target"], confirmed["alarms"]) == (newest["number"] + 1, [])
        agent.run(one, "once").ok()
        assert one.state() != newer


def move(*machines: Machine, to: str) -> None:
    """The server is on another port now: tell the agents."""
    for one in machines:
        path = credentials(one)
        path.write_text(json.dumps({**json.loads(path.read_text()), "server": to}))


def credentials(one: Machine) -> Path:
    return agent.state_dir(one) / "credentials.json"


def say_what_it_saw(site: Site, name: str, one: Machine, revision: dict[str, Any]) -> None:
    """A report with the machine's token: as the server knows it, and the newest revision that it has seen."""
    known = site.call("GET", f"/endpoints/{name}")
    report = {
        "seq": known["report_seq"] + 1,
        "state": known["state"],
        "repositories": known["repositories"],
        "holds": known["holds"],
        "revision_seen": {"number": revision["number"], "digest": revision["digest"]},
    }
    operator, site.token = site.token, json.loads(credentials(one).read_text())["token"]
    try:
        assert site.call("POST", "/checkin", report)["operation"] is None
    finally:
        site.token = operator
