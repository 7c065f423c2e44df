"""What makes a machine a source or an endpoint that can't be trusted with its own databases, and what is said of it."""

import gzip
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support import agent
from tests.support.pacman import Fleet, Machine
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")
OLD, NEW = "2025/01/01", "2025/02/01"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """`base` and `app` on both days; `extra` is in the repositories as well."""
    made = Fleet(tmp_path)
    make = made.package
    made.snapshot(OLD, [make("base", "1-1"), make("app", "1-1", depends=["base"]), make("extra", "1-1")])
    made.snapshot(NEW, [make("base", "2-1"), make("app", "1-1", depends=["base"]), make("extra", "1-1")])
    return made


def machine(fleet: Fleet, name: str, day: str = OLD, *more: str) -> Machine:
    made = fleet.machine(name, day)
    made.install("app", *more)
    return made


def without_databases(machine: Machine) -> Path:
    """Delete the sync databases, as images for containers do; their directory."""
    directory = machine.dbpath / "sync"
    shutil.rmtree(directory)
    directory.mkdir()
    return directory


def take_mirror_away(machine: Machine) -> None:
    machine.configure("http://127.0.0.1:9/$repo")


def problems(site: Site, name: str) -> dict[str, list[str]]:
    """The names of each problem by its code, as the server knows them."""
    found: list[dict[str, Any]] = site.call("GET", f"/endpoints/{name}")["problems"]
    return {problem["code"]: problem["names"] for problem in found}


def refusal(machine: Machine, *options: str) -> dict[str, Any]:
    return agent.run(machine, "set-latest", "--json", *options).refused(3).last


# --- databases that are missing or unreadable


@pytest.mark.parametrize("content", [None, b"", b"no database"])
def test_sync_without_a_readable_database_is_exact_and_leaves_the_machines_own(
    site: Site, fleet: Fleet, content: bytes | None
) -> None:
    one, two = machine(fleet, "m1", OLD, "extra"), machine(fleet, "m2")
    one.install_file(fleet.package("own", "1-1"))
    directory = without_databases(one)
    if content is not None:
        (directory / "core.db").write_bytes(content)
    name, _ = site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert sorted(one.state()) == ["app", "base", "own"]
    assert site.call("GET", f"/endpoints/{name}")["foreign"] == ["own"]
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == (
        {} if content is None else {"core.db": content}
    )


def test_report_database_replaced_within_a_second_in_the_same_place_is_read_again(site: Site, fleet: Fleet) -> None:
    """The next download often gets the inode that the last but one left; pacman sets whole seconds as its time."""
    one = machine(fleet, "m1")
    own = one.dbpath / "sync/core.db"
    content = gzip.decompress(own.read_bytes())
    own.write_bytes(content)
    [name] = site.enroll(site.pool(), one)
    before = site.call("GET", f"/endpoints/{name}")["repositories"]
    seen = own.stat()
    own.write_bytes(content.replace(b"base", b"seba"))  # with the same checksums in the heads of the archive
    os.utime(own, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert (own.stat().st_ino, own.stat().st_size) == (seen.st_ino, seen.st_size)
    agent.run(one, "once").ok()
    assert site.call("GET", f"/endpoints/{name}")["repositories"] != before


def test_sync_repository_added_to_pacman_conf_without_sy_is_known(site: Site, fleet: Fleet) -> None:
    tool = fleet.package("tool", "1-1")
    fleet.snapshot(OLD, [tool], repo="own")
    one, two = machine(fleet, "m1"), machine(fleet, "m2")
    one.install_file(tool)
    one.repos = ("core", "own")
    one.configure(f"{fleet.base_url}/repos/{OLD}/$repo/os/$arch")
    name, _ = site.enroll(site.pool(), one, two)
    assert site.call("GET", f"/endpoints/{name}")["foreign"] == []
    agent.run(two, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert one.state() == two.state()


def test_sync_database_that_cant_be_had_refused_until_it_can(site: Site, fleet: Fleet) -> None:
    one, two = machine(fleet, "m1", OLD, "extra"), machine(fleet, "m2")
    without_databases(one)
    take_mirror_away(one)
    pool = site.pool(auto_sync=True, conflict_resolution="oldest")
    name, _ = site.enroll(pool, one, two)
    agent.run(two, "set-latest").ok()
    before = one.state()
    done = agent.run(one, "sync", "--json").refused(3)
    assert done.last["code"] == "databases_unreadable" and "core" in done.last["message"]
    assert "not comparable" in agent.run(one, "once").ok().out
    assert (one.state(), site.operations(name)) == (before, [])
    detail = site.call("GET", f"/endpoints/{name}")
    assert (detail["status"], list(problems(site, name))) == ("unknown", ["database_unreadable"])
    assert "databases of these repositories can't be read, nor fetched: core" in agent.run(one, "status").ok().out
    one.configure(f"{fleet.base_url}/repos/{OLD}/$repo/os/$arch")
    agent.run(one, "sync").ok()
    assert one.state() == two.state()


def test_once_queued_sync_waits_for_the_databases(site: Site, fleet: Fleet) -> None:
    one, two = machine(fleet, "m1", OLD, "extra"), machine(fleet, "m2")
    name, _ = site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    site.call("POST", "/operations", {"kind": "sync", "endpoint": name})
    without_databases(one)
    take_mirror_away(one)
    assert agent.run(one, "once", "--json").refused(3).last["code"] == "databases_unreadable"
    assert [operation["status"] for operation in site.operations(name)] == ["queued"]
    one.go_to(OLD)
    agent.run(one, "once").ok()
    assert one.state() == two.state()


def test_report_database_that_cant_be_had_any_more_counts_as_it_was(site: Site, fleet: Fleet) -> None:
    """Or everything would look foreign, on the machine that a revert is for too."""
    one = machine(fleet, "m1", OLD, "extra")
    [name] = site.enroll(site.pool(), one)
    before = site.call("GET", f"/endpoints/{name}")
    without_databases(one)
    take_mirror_away(one)
    agent.run(one, "once").ok()
    after = site.call("GET", f"/endpoints/{name}")
    assert (after["foreign"], after["repositories"][0]["digest"]) == ([], before["repositories"][0]["digest"])


def test_set_latest_source_without_databases_fetches_them_or_is_refused(site: Site, fleet: Fleet) -> None:
    one = machine(fleet, "m1")
    one.install_file(fleet.package("own", "1-1"))
    without_databases(one)
    pool = site.pool()
    [name] = site.enroll(pool, one)
    agent.run(one, "set-latest").ok()
    assert site.call("GET", f"/endpoints/{name}")["foreign"] == ["own"]
    take_mirror_away(one)
    shutil.rmtree(agent.state_dir(one) / "databases")
    one.install_file(fleet.package("app", "3-1", depends=["base"]))
    for options in ((), ("--force",)):
        refused = refusal(one, *options)
        assert (refused["code"], "core" in refused["message"]) == ("unsound_source", True)
    assert site.call("GET", f"/pools/{pool}")["target"] == 1


# --- a package set that isn't sound


def test_set_latest_inconsistent_package_set_refused_unless_forced(site: Site, fleet: Fleet) -> None:
    one = machine(fleet, "m1")
    one.pacman("-Rdd", "base")
    pool = site.pool()
    [name] = site.enroll(pool, one)
    refused = refusal(one)
    assert refused["code"] == "unsound_source" and "missing 'base' dependency for 'app'" in refused["message"]
    assert problems(site, name) == {"broken_dependencies": ["app"]}
    assert site.call("GET", f"/pools/{pool}")["target"] is None
    assert "missing 'base' dependency" in agent.run(one, "set-latest", "--force").ok().out


def test_set_latest_half_upgraded_source_refused_unless_forced(site: Site, fleet: Fleet) -> None:
    one = machine(fleet, "m1")
    one.install_file(fleet.package("app", "2-1", depends=["base"]))
    one.go_to(NEW)
    pool = site.pool()
    [name] = site.enroll(pool, one)
    refused = refusal(one)
    assert refused["code"] == "unsound_source" and "half upgraded" in refused["message"]
    assert problems(site, name) == {"half_upgraded": ["app", "base"]}
    agent.run(one, "set-latest", "--force").ok()
    one.upgrade()  # `app` stays newer than its database, and nothing is older
    agent.run(one, "set-latest").ok()
    assert problems(site, name) == {}


def test_set_latest_upgrades_pending_held_back_and_foreign_dependencies_warn(site: Site, fleet: Fleet) -> None:
    one = machine(fleet, "m1")
    one.install_file(fleet.package("own", "1-1", depends=["base=1-1"]))
    one.pacman("-Udd", fleet.package("base", "1.5-1").path)
    one.install("extra")
    one.go_to(NEW)
    [name] = site.enroll(site.pool(), one)
    agent.run(one, "set-latest").ok()
    assert problems(site, name) == {"foreign_dependencies": ["own"], "upgrades_pending": ["base"]}
    one.go_to(NEW, options="IgnorePkg = ba*")
    out = agent.run(one, "set-latest", "--force").ok().out
    assert "held at another version than its databases have, and are left out: base" in out
    assert problems(site, name) == {"foreign_dependencies": ["own"], "held_back": ["base"]}


@pytest.mark.parametrize("damage", ["desc is empty", "desc is gone", "files is gone", "twice"])
def test_set_latest_broken_entry_refused_also_when_forced(site: Site, fleet: Fleet, damage: str) -> None:
    one = machine(fleet, "m1", OLD, "extra")
    entry = one.dbpath / "local/extra-1-1"
    if damage == "twice":
        shutil.copytree(entry, entry.with_name("extra-1-1.bak"))
    elif damage == "desc is empty":
        (entry / "desc").write_text("")
    else:
        (entry / damage.split()[0]).unlink()
    [name] = site.enroll(site.pool(), one)
    for options in ((), ("--force",)):
        refused = refusal(one, *options)
        assert refused["code"] == "unsound_source" and "broken, or there twice: extra" in refused["message"]
    assert problems(site, name)["broken_entries"] == ["extra"]


def test_sync_package_that_is_there_twice_is_refused_with_the_entries(site: Site, fleet: Fleet) -> None:
    one, two = machine(fleet, "m1"), machine(fleet, "m2", NEW)
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    entry = one.dbpath / "local/base-1-1"
    shutil.copytree(entry, entry.with_name("base-2-1"))
    done = agent.run(one, "sync", "--json").refused(3)
    assert done.last["code"] == "duplicated_entries" and "base-1-1, base-2-1" in done.last["message"]
    shutil.rmtree(entry.with_name("base-2-1"))
    agent.run(one, "sync").ok()
    assert one.state() == two.state()


@pytest.mark.parametrize("name", ["lost+found", ".snapshots", "old.backup", "@eaDir"])
def test_directory_among_the_entries_that_is_none_is_passed_over(site: Site, fleet: Fleet, name: str) -> None:
    """A file system of its own has lost+found; pacman passes it over too. At the source, on the way and back."""
    one, two = machine(fleet, "m1"), machine(fleet, "m2", NEW)
    for each in (one, two):
        (each.dbpath / "local" / name).mkdir(mode=0o700)
        (each.dbpath / "local" / name / "desc").write_text("%NAME%\nnobody\n")
    before = one.state()
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    agent.run(one, "sync").ok()
    assert one.state() == two.state()
    agent.run(one, "verify").ok()
    agent.run(one, "revert").ok()
    assert one.state() == before
    assert [path.name for path in (one.dbpath / "local" / name).iterdir()] == ["desc"]


# --- a directory and a link that change places


def test_sync_directory_and_link_change_places_names_the_owner_and_the_remedy_works(site: Site, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    old = fleet.package("fw", "1-1", files={"usr/lib/fw/ad104/gsp": b"x", "usr/lib/fw/ad103": "ad104"})
    new = fleet.package("fw", "2-1", depends=["fw-nvidia"], files={"usr/share/fw/README": b"x"})
    split = fleet.package("fw-nvidia", "2-1", files={"usr/lib/fw/ad103/gsp": b"x", "usr/lib/fw/ad104": "ad103"})
    fleet.snapshot(OLD, [old])
    fleet.snapshot(NEW, [new, split])
    one, two = fleet.machine("m1", OLD), fleet.machine("m2", NEW)
    for each in (one, two):
        each.install("fw")
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    before = one.state()
    done = agent.run(one, "sync", "--json").refused(1).last
    assert (done["code"], one.state()) == ("file_conflict", before)
    assert "usr/lib/fw/ad104" in done["message"] and "belongs to fw:" in done["message"]
    assert f"`pacman -Rdd fw --config {one.config}`" in done["hint"]  # of this machine, not of the host
    one.pacman("-Rdd", "fw")
    agent.run(one, "sync").ok()
    assert one.state() == two.state()
    assert (one.root / "usr/lib/fw/ad104/gsp").read_bytes() == b"x" and (one.root / "usr/lib/fw/ad104").is_symlink()
