"""File systems that are mounted read-only: a sync is refused before anything is changed, and names the place."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.system import mounts
from tests.support import agent
from tests.support.disk import small_disk
from tests.support.pacman import Fleet, Machine, Package
from tests.support.site import Site

pytestmark = [
    pytest.mark.needs("pacman"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts"),
]
OLD, NEW = "2025/01/01", "2025/02/01"


@contextlib.contextmanager
def read_only(place: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", place], check=True)


@contextlib.contextmanager
def bound(place: Path) -> Iterator[Path]:
    """The directory as a mount of its own."""
    subprocess.run(["mount", "--bind", place, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def pair(site: Site, fleet: Fleet, old: list[Package], new: list[Package]) -> tuple[Machine, Machine]:
    """m1, which is to follow m2; neither has anything installed yet."""
    fleet.snapshot(OLD, old)
    fleet.snapshot(NEW, new)
    one, two = fleet.machine("m1", OLD), fleet.machine("m2", NEW)
    two.install(*(package.name for package in new))
    site.enroll(site.pool(), one, two)
    agent.run(two, "set-latest").ok()
    return one, two


def kept(machine: Machine) -> tuple[object, ...]:
    """What a refused sync must leave as it is."""
    log = machine.directory / "pacman.log"
    entries = sorted((str(path), path.read_bytes()) for path in (machine.dbpath / "local").rglob("*") if path.is_file())
    return entries, log.read_bytes(), machine.state(), (machine.dbpath / "db.lck").exists()


@pytest.mark.parametrize("options", ["", "CheckSpace"])
def test_sync_usr_read_only_is_refused_and_changes_nothing(site: Site, fleet: Fleet, options: str) -> None:
    old = [fleet.package("tool", "1-1"), fleet.package("gone", "1-1"), fleet.package("lib", "1-1")]
    one, two = pair(site, fleet, old, [fleet.package("tool", "2-1"), fleet.package("lib", "1-1")])
    one.go_to(OLD, options)
    with small_disk(one.root / "usr", "8m") as disk:
        one.install("tool", "gone", "lib", asdeps=["lib"])
        agent.run(one, "once").ok()
        before = kept(one)
        with read_only(disk.path):
            for command in (("diff", "--rehearse"), ("sync",)):
                done = agent.run(one, *command, "--json").refused(3).last
                assert done["code"] == "read_only", done
                assert done["message"] == (
                    f"{disk.path} is mounted read-only, and gone, tool have files there. Nothing was changed."
                )
                assert "remount,rw" in done["hint"]
            assert kept(one) == before
        agent.run(one, "sync").ok()
        assert one.state() == two.state()


def test_sync_root_read_only_is_refused_and_changes_nothing(site: Site, fleet: Fleet) -> None:
    one, two = pair(site, fleet, [fleet.package("tool", "1-1")], [fleet.package("tool", "2-1")])
    one.install("tool")
    agent.run(one, "once").ok()
    before = kept(one)
    with bound(one.root) as root:
        subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
        done = agent.run(one, "sync", "--json")
        assert done.code == 7 and done.last["code"] == "read_only" and "Traceback" not in done.err, done
        assert "remount,rw" in done.last["hint"] and "as of" in agent.run(one, "status").ok().out
        assert kept(one) == before
    agent.run(one, "sync").ok()
    assert one.state() == two.state()


def test_sync_root_read_only_with_var_writable_names_the_root(site: Site, fleet: Fleet) -> None:
    """As on an image-based system: the database could be written, and the files couldn't."""
    one, two = pair(site, fleet, [fleet.package("tool", "1-1")], [fleet.package("tool", "2-1")])
    one.install("tool")
    agent.run(one, "once").ok()
    before = kept(one)
    with bound(one.root) as root, bound(one.root / "var"):
        subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
        done = agent.run(one, "sync", "--json").refused(3).last
        assert done["code"] == "read_only" and f"{root} is mounted read-only, and tool has" in done["message"], done
        assert kept(one) == before
    agent.run(one, "sync").ok()
    assert one.state() == two.state()


def test_sync_without_files_on_the_read_only_place_is_made(site: Site, fleet: Fleet) -> None:
    """/opt is read-only, except for a place in it; the package has files beside it and in that place."""
    files = {"usr/share/tool/x": b"x", "opt/rw/x": b"x"}
    one, two = pair(
        site, fleet, [fleet.package("tool", "1-1", files=files)], [fleet.package("tool", "2-1", files=files)]
    )
    with small_disk(one.root / "opt", "8m") as outer, small_disk(one.root / "opt/rw", "8m"):
        one.install("tool")
        with read_only(outer.path):
            assert [place.name for place in mounts.read_only(one.root)] == ["/opt"]
            agent.run(one, "sync").ok()
    assert one.state() == two.state()


def test_kernel_where_boot_is_read_only_is_refused(site: Site, fleet: Fleet) -> None:
    """Its files are in /usr; a hook writes to /boot."""
    kernel = [fleet.package("linux", f"{number}-1", files={"usr/lib/modules/6.1/vmlinuz": b"k"}) for number in (1, 2)]
    one, _ = pair(site, fleet, [kernel[0]], [kernel[1]])
    one.install("linux")
    with small_disk(one.root / "boot", "8m") as disk, read_only(disk.path):
        done = agent.run(one, "sync", "--json").refused(3).last
    assert done["code"] == "read_only" and f"{disk.path} is mounted read-only, and linux has" in done["message"]
