"""No room where the agent keeps its files, in bytes or in inodes: the operation ends with the reason, reports go on."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.support import agent
from tests.support.disk import Disk, small_disk
from tests.support.pacman import Fleet, Machine
from tests.support.site import Site

pytestmark = pytest.mark.needs("pacman")

OLD, NEW = "2025/01/01", "2025/02/01"


def pair(site: Site, fleet: Fleet) -> tuple[Machine, str, str]:
    """A machine that is to follow another one by its pool's policy: the machine, its name, the pool."""
    fleet.snapshot(OLD, [fleet.package("tool", "1-1"), fleet.package("base", "1-1")])
    fleet.snapshot(NEW, [fleet.package("tool", "2-1"), fleet.package("base", "2-1")])
    one, two = fleet.machine("m1", OLD), fleet.machine("m2", NEW)
    one.install("tool", "base")
    two.install("tool", "base")
    pool = site.pool(auto_sync=True)
    name, _ = site.enroll(pool, one, two)
    one.empty_cache()
    return one, name, pool


@contextlib.contextmanager
def state_on(machine: Machine, size: str) -> Iterator[Disk]:
    """The agent's own directory on a small disk of its own."""
    directory = agent.state_dir(machine)
    aside = directory.with_name("aside")
    directory.rename(aside)
    with small_disk(directory, size) as disk:
        for path in aside.iterdir():
            shutil.copy2(path, directory) if path.is_file() else shutil.copytree(path, directory / path.name)
        yield disk


def use_up_inodes(disk: Disk) -> None:
    for number in range(100_000):
        try:
            (disk.path / f"inode-{number}").touch()
        except OSError:
            return


@pytest.mark.parametrize("kind", ["bytes", "inodes"])
def test_no_room_for_its_own_files_ends_the_operation_and_reports_go_on(site: Site, fleet: Fleet, kind: str) -> None:
    one, name, _ = pair(site, fleet)
    with state_on(one, "2m,nr_inodes=60" if kind == "inodes" else "2m") as disk:
        agent.run(fleet_source(fleet), "set-latest").ok()
        if kind == "bytes":
            disk.fill()
        else:
            use_up_inodes(disk)
        done = agent.run(one, "once")
        assert done.code in {1, 3, 7} and len(done.err) < 500, done
        assert str(disk.path) in done.err and "no room" in done.err and "free" in done.err
        [operation] = site.operations(name)
        assert (operation["status"], operation["retries"]) == ("queued", 1), operation
        assert operation["result"]["code"] == "disk_full" and str(disk.path) in operation["result"]["message"]
        seen = site.call("GET", f"/endpoints/{name}")["last_seen"]
        again = agent.run(one, "once").ok()  # it waits for its next try
        assert "behind" in again.out
        assert site.call("GET", f"/endpoints/{name}")["last_seen"] > seen
        disk.free()
        for path in disk.path.glob("inode-*"):
            path.unlink()
        agent.run(one, "sync").ok()
        assert one.state()["tool"][0] == "2-1"
    assert [one["status"] for one in site.operations(name)] == ["succeeded", "cancelled"]


def test_without_the_protection_a_full_disk_leaves_the_operation_without_a_word(site: Site, fleet: Fleet) -> None:
    one, name, _ = pair(site, fleet)
    with state_on(one, "2m") as disk:
        agent.run(fleet_source(fleet), "set-latest").ok()
        disk.fill()
        assert agent.run_killed_at(one, "without:no_room", "once").code not in {0, -9}
        assert site.operations(name) == []  # it doesn't even report


def fleet_source(fleet: Fleet) -> Machine:
    """The machine m2 of `pair`, which sets the target."""
    machine = Machine(fleet, "m2", ("core",), "")
    machine.configure(f"{fleet.base_url}/repos/{NEW}/$repo/os/$arch")
    return machine


def test_no_room_for_the_rehearsal_is_one_line_with_the_directory(site: Site, fleet: Fleet) -> None:
    """It has room for a journal, and not for a copy of the database (300 entries), nor has the memory."""
    many = [fleet.package(f"p{number}", "1-1") for number in range(300)]
    fleet.snapshot(OLD, [*many, fleet.package("tool", "1-1")])
    fleet.snapshot(NEW, [*many, fleet.package("tool", "2-1")])
    one, two = fleet.machine("m1", OLD), fleet.machine("m2", NEW)
    for machine in (one, two):
        machine.install("tool", *(package.name for package in many))
    name, _ = site.enroll(site.pool(auto_sync=True), one, two)
    agent.run(two, "set-latest").ok()
    with state_on(one, "1500k") as disk:
        done = agent.run_killed_at(one, "without:memory", "once")
        assert done.code == 3 and len((done.out + done.err).splitlines()) < 8, done
        assert f"{disk.path} has no room for the rehearsal" in done.err
    [operation] = site.operations(name)
    assert (operation["status"], operation["result"]["code"]) == ("queued", "disk_full")


def test_no_room_in_the_cache_names_the_cache(site: Site, fleet: Fleet) -> None:
    one, name, _ = pair(site, fleet)
    agent.run(fleet_source(fleet), "set-latest").ok()
    with small_disk(one.cache, "4k,nr_inodes=1"):
        done = agent.run(one, "once")
        assert done.code == 3 and str(one.cache) in done.err and "inode" in done.err, done
    [operation] = site.operations(name)
    assert (operation["status"], operation["result"]["code"]) == ("queued", "disk_full")
    agent.run(one, "sync").ok()


@pytest.mark.needs("bash-static")
def test_room_that_ends_while_pacman_works_ends_the_operation_all_the_same(site: Site, fleet: Fleet) -> None:
    """A hook of pacman fills the agent's disk: neither what pacman says nor the journal has room from then on."""
    one, name, _ = pair(site, fleet)
    agent.run(fleet_source(fleet), "set-latest").ok()
    with state_on(one, "4m") as disk:
        (one.root / "bin").mkdir()
        shutil.copy("/bin/bash-static", one.root / "bin/bash")
        inside = one.root / "disk"
        inside.mkdir()
        subprocess.run(["mount", "--bind", str(disk.path), str(inside)], check=True)
        try:
            text = "while echo 0123456789012345678901234567890123456789; do :; done > /disk/ballast 2> /disk/ballast2"
            (one.directory / "hooks" / "fill.hook").write_text(
                "[Trigger]\nOperation = Upgrade\nType = Package\nTarget = *\n[Action]\nWhen = PostTransaction\n"
                f"Exec = /bin/bash -c '{text}; true'\n"
            )
            done = agent.run(one, "once")
        finally:
            subprocess.run(["umount", "--lazy", str(inside)], check=True)
        assert "Traceback" not in done.err, done
        [operation] = site.operations(name)
        assert operation["status"] == "succeeded", (operation, done)
        assert one.state()["tool"][0] == "2-1"
        assert not (disk.path / "journal.json").exists()
