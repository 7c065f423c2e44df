"""Places that aren't mounted: which plans a machine refuses for them, with a real fstab and the kernel's own mounts."""

import gzip
import os
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.packages import package_paths
from apps.agent.pacsync_agent.system import mounts
from tests.agent.protected_world import World
from tests.support.pacman import Fleet

pytestmark = pytest.mark.needs("pacman")


def test_package_with_files_below_a_place_that_isnt_mounted_is_refused(tmp_path: Path, fleet: Fleet) -> None:
    old = fleet.package("loader", "1-1", files={"boot/loader/a": b"a"})
    dirs = fleet.package("dirs", "1-1", files={"usr/share/dirs/x": b"", "var/x": b""})
    world = World(tmp_path, [old, dirs], fleet)
    world.write("etc/fstab", "UUID=1 / ext4 rw 0 1\nUUID=2 /boot vfat noauto,rw 0 2\nUUID=3 none swap defaults 0 0\n")
    refused = world.refused("dirs")
    assert refused.code == "not_mounted" and "etc/fstab isn't mounted, and loader has files" in refused.message
    assert world.refused("dirs", new=[fleet.package("loader", "2-1", files={"usr/x": b""})]).code == "not_mounted"
    assert world.refused("loader", "dirs", new=[fleet.package("n", "1-1", files={"boot/n": b""})]).code == "not_mounted"
    world.sync("loader", new=[fleet.package("dirs", "2-1")])
    world.write("etc/fstab", "UUID=1 / ext4 rw 0 1\n")
    world.sync("dirs")


def test_kernel_is_refused_where_its_hooks_would_write_beside_the_place(tmp_path: Path, fleet: Fleet) -> None:
    """Arch's kernels own no file in /boot: a hook puts them there."""
    world = World(tmp_path, [fleet.package("base", "1-1")], fleet)
    kernel = fleet.package("linux", "1-1", files={"usr/lib/modules/6.1/vmlinuz": b"k"})
    world.write("etc/fstab", "UUID=2 /boot vfat rw 0 2\n")
    assert "/boot" in world.refused("base", new=[kernel]).message
    world.write("etc/fstab", "UUID=2 /efi vfat rw 0 2\n")
    world.sync("base", new=[kernel])
    world.write("etc/mkinitcpio.d/linux.preset", 'default_uki="/efi/EFI/Linux/arch.efi"\n')
    assert "/efi" in world.refused("base", new=[kernel]).message


def test_mounts_of_the_kernel_count_and_automounts_too(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "with space").mkdir()
    (tmp_path / "etc/fstab").write_text(
        "A /boot ext4 rw\nB /with\\040space ext4 rw\nC /efi vfat noauto\n# D /no ext4\n"
    )
    info = tmp_path / "mountinfo"
    line = "36 35 98:0 / {} rw,noatime shared:1 - {} /dev/x rw\n"
    info.write_text("")
    assert mounts.missing(tmp_path, info) == ["/boot", "/efi", "/with space"]
    info.write_text(line.format(f"{tmp_path}/with\\040space", "ext4") + line.format(f"{tmp_path}/efi", "autofs"))
    assert mounts.missing(tmp_path, info) == ["/boot"]
    assert mounts.missing(tmp_path, tmp_path / "none") == []  # without /proc nothing can be said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_place_that_is_really_mounted_isnt_missing(tmp_path: Path) -> None:
    """The kernel's own list: /proc is mounted wherever tests run."""
    assert mounts.missing(Path("/"), mounts.MOUNTED) == mounts.missing(Path("/"))
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text("x /proc auto rw\n")
    assert mounts.missing(tmp_path) == ["/proc"]
    (tmp_path / "proc").symlink_to("/proc")
    assert mounts.missing(tmp_path) == []


def test_paths_of_a_package_come_from_its_list_where_it_has_one(tmp_path: Path, fleet: Fleet) -> None:
    lines = b"#mtree\n/set type=file uid=0\n./.PKGINFO time=1\n./usr time=1 type=dir\n"
    lines += b"./usr/a\\040b time=1 size=1\n./l type=link link=a\n"
    listed = fleet.package("listed", "1-1", files={".MTREE": gzip.compress(lines), "usr/a b": b"", "l": "a"})
    assert package_paths.of(listed.path) == [b"usr/a b", b"l"]
    broken = fleet.package("broken", "1-1", files={".MTREE": b"?", "usr/a b": b"", "l": "a"})
    plain = fleet.package("plain", "1-1", files={"usr/a b": b"", "l": "a"})
    assert sorted(package_paths.of(broken.path)) == sorted(package_paths.of(plain.path)) == [b"l", b"usr/a b"]
