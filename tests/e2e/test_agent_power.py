"""A power cut at any step of a sync: the machine starts from what is on its disk, and `once` makes it whole.

The image of the machine's disk is copied as a power cut would leave it, and mounted in its place. Then the machine is
in another boot: the kernel's boot id is another one there. Needs root and a loop device.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import run
from tests.support import agent
from tests.support.disk_image import can_be_made, disk_in, loop_devices_work, power_cut
from tests.support.mtree import with_mtree
from tests.support.pacman import Fleet, Machine, Package
from tests.support.site import Site

pytestmark = [
    pytest.mark.needs("pacman"),
    pytest.mark.skipif(not loop_devices_work(), reason="mounting an image needs root and a loop device"),
    pytest.mark.timeout(300),
    pytest.mark.alone,  # after half a minute the kernel writes everything back: the twins need a quick machine
]
OLD, NEW = "2025/01/01", "2025/02/01"
KINDS = [
    "ext4",
    *(
        pytest.param(kind, marks=pytest.mark.skipif(not can_be_made(kind), reason=f"there is no mkfs.{kind} here"))
        for kind in ("xfs", "btrfs")
    ),
]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """What all tests sync to: upgrades with new files, an installation, a removal, an install reason."""
    fleet = Fleet(tmp_path_factory.mktemp("target"))

    def make(name: str, version: str, count: int = 3) -> Package:
        files: dict[str, bytes | str] = {f"usr/lib/{name}/{n}": f"{name} {version} {n}".encode() for n in range(count)}
        return fleet.package(name, version, files=with_mtree(files))

    kept = make("kept", "1-1")
    fleet.snapshot(OLD, [make("app", "1-1"), make("lib", "1-1"), make("gone", "1-1"), kept])
    fleet.snapshot(NEW, [make("app", "2-1", 30), make("lib", "2-1", 30), make("new", "1-1", 30), kept])
    machine = fleet.machine("m2", NEW)
    machine.install("app", "lib", "new", "kept")
    machine.pacman("-D", "--asdeps", "lib", "kept")
    return machine


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pacsync-power-") as name:
        yield Path(name)


@contextlib.contextmanager
def machine_on_disk(folder: Path, kind: str, site: Site, target: Machine) -> Iterator[Machine]:
    """An enrolled machine that is to be brought to the target; all of it is on a disk of its own, and durable."""
    with disk_in(folder, kind) as disk:
        machine = target.fleet.beside(disk).machine("m1", OLD)
        machine.install("app", "lib", "gone", "kept")
        other = target.linked_copy(target.fleet.beside(folder / "other"), NEW)
        site.enroll(site.pool(), machine, other)
        agent.run(other, "set-latest").ok()
        run("sync", "-f", disk)
        yield machine


def commit_names(machine: Machine, *paths: Path) -> None:
    """What any other program's fsync does at that moment: names get to the disk, and the bytes of these files."""
    beside = machine.directory / "somebody-elses"
    beside.write_text("x")
    for path in (*paths, beside):
        with path.open("rb") as file:
            os.fsync(file.fileno())


def once(machine: Machine, folder: Path, *, another_boot: bool = True) -> agent.Done:
    """Run `once` as after the next start of the machine."""
    boot_id = folder / "boot_id"
    boot_id.write_text(f"{uuid.uuid4()}\n" if another_boot else Path("/proc/sys/kernel/random/boot_id").read_text())
    stat = folder / "stat"
    lines = Path("/proc/stat").read_text().splitlines()
    now = f"btime {int(time.time()) + 1}"  # whole seconds: it began after all that was on the disk
    stat.write_text("".join(f"{now if another_boot and line.startswith('btime') else line}\n" for line in lines))
    command = f'mount --bind {boot_id} /proc/sys/kernel/random/boot_id && mount --bind {stat} /proc/stat && exec "$@"'
    words = [sys.executable, str(agent.agent_path()), "once", "--config", str(machine.config)]
    return agent.Done(
        subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", command, "sh", *words],
            capture_output=True,
            text=True,
            timeout=110,
        )
    )


def assert_whole(machine: Machine, target: Machine) -> None:
    assert machine.altered() == []
    assert machine.state() == target.state()
    assert machine.problems() == []
    assert machine.file("usr/lib/gone/1") is None
    assert not (machine.dbpath / "db.lck").exists()
    assert not (agent.state_dir(machine) / "journal.json").exists()


def empty_files(machine: Machine) -> list[Path]:
    return [path for path in machine.root.glob("usr/lib/*/*") if path.stat().st_size == 0]


POINTS = [
    "enter:claim",
    "enter:gather",
    "enter:apply",
    "reasons:both",
    "pacman:cut:upgrading lib",
    "pacman:cut:installing new",
    "pacman:ended",
    "enter:settle",
    "enter:verify",
    "enter:report",
    "close",
]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("kind", KINDS)
def test_power_cut_at_a_step_once_makes_the_machine_whole(
    site: Site, target: Machine, folder: Path, kind: str, point: str
) -> None:
    with machine_on_disk(folder, kind, site, target) as machine:
        agent.run_killed_at(machine, point, "sync")
        if point in {"pacman:ended", "enter:apply", "reasons:both"} or point.startswith("pacman:cut"):
            commit_names(machine)
        with power_cut(folder / "disk"):
            once(machine, folder).ok()
            once(machine, folder).ok()  # what was queued or given back is carried out by now
            assert_whole(machine, target)


def test_power_cut_while_the_agent_repairs_an_entry(site: Site, target: Machine, folder: Path) -> None:
    with machine_on_disk(folder, "ext4", site, target) as machine:
        agent.run_killed_at(machine, "pacman:cut:installing new", "sync")
        for desc in machine.dbpath.glob("local/lib-*/desc"):
            desc.unlink()
        agent.run_killed_at(machine, "repairing", "once")
        commit_names(machine)
        with power_cut(folder / "disk"):
            assert (machine.dbpath / "db.lck").exists()
            once(machine, folder).ok()
            assert_whole(machine, target)


@pytest.mark.parametrize("kind", KINDS)
def test_power_cut_right_after_in_sync_leaves_every_file(site: Site, target: Machine, folder: Path, kind: str) -> None:
    with machine_on_disk(folder, kind, site, target) as machine:
        agent.run(machine, "sync").ok()
        with power_cut(folder / "disk"):
            assert_whole(machine, target)


def test_power_cut_without_the_flush_empties_the_files_for_good(site: Site, target: Machine, folder: Path) -> None:
    """The twin: what the flush is for."""
    with machine_on_disk(folder, "ext4", site, target) as machine:
        agent.run_killed_at(machine, "unflushed", "sync")
        commit_names(machine)
        with power_cut(folder / "disk"):
            once(machine, folder)
            versions = [{name: version for name, (version, _) in one.state().items()} for one in (machine, target)]
            assert versions[0] == versions[1]
            assert len(empty_files(machine)) > 30


@pytest.mark.parametrize("another_boot", [True, False])
def test_power_cut_after_pacmans_status_got_to_the_disk_another_boot_is_known(
    site: Site, target: Machine, folder: Path, another_boot: bool
) -> None:
    """The twin, to which it looks as if only the agent had died, takes the empty files for installed ones."""
    with machine_on_disk(folder, "ext4", site, target) as machine:
        agent.run_killed_at(machine, "pacman:ended", "sync")
        commit_names(machine, agent.state_dir(machine) / "pacman.status", *machine.dbpath.glob("local/*/*"))
        with power_cut(folder / "disk"):
            once(machine, folder, another_boot=another_boot)
            if another_boot:
                assert_whole(machine, target)
            else:
                assert machine.state() == target.state()
                assert len(empty_files(machine)) > 30
