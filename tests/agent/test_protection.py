"""What a machine protects, and which plans it refuses: with real packages, a real fstab and the kernel's own mounts."""

import gzip
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from apps.agent.pacsync_agent import local_db, mounts, package_file, package_paths, pacman_conf, permission, plan
from apps.agent.pacsync_agent.errors import Refused
from apps.agent.pacsync_agent.settings import PROTECT
from apps.fleet.alpm.state import InstalledPackage
from tests.support.pacman import Fleet, Machine, Package

pytestmark = pytest.mark.needs("pacman")
DAY = "2025/01/01"
# Known by their names, and by their files.
NAMED = ("python", "linux", "grub", "openssh", "networkmanager", "pacsync-agent", "pacman")


class World:
    """A machine with these packages; `sync` asks for permission to bring it to other ones."""

    def __init__(self, path: Path, packages: Iterable[Package], fleet: Fleet) -> None:
        self.fleet = fleet
        packages = list(packages)
        fleet.snapshot(DAY, packages)
        self.machine: Machine = fleet.machine("m", DAY)
        self.machine.install(*(package.name for package in packages))
        self.conf = pacman_conf.read(self.machine.config, None, None)
        self.state_dir = path / "state"
        self.state_dir.mkdir()

    def sync(
        self, *names: str, new: Iterable[Package] = (), words: tuple[str, ...] = PROTECT, forced: Iterable[str] = ()
    ) -> None:
        """Go to the installed packages of these names and the new ones. Raises Refused."""
        installed, new = local_db.read(self.conf.dbpath), list(new)
        goal = [installed[name].as_installed() for name in names]
        goal += [InstalledPackage(package.name, package.version, package.arch, "explicit") for package in new]
        guarded = permission.protected(self.conf, self.state_dir, installed, words)
        permission.check(
            self.conf,
            guarded,
            installed=installed,
            steps=plan.make(installed, goal),
            new=[package_file.read(package.path) for package in new],
            forced=list(forced),
        )

    def refused(self, *names: str, **options: object) -> Refused:
        with pytest.raises(Refused) as error:
            self.sync(*names, **options)  # type: ignore[arg-type]
        return error.value

    def write(self, path: str, text: str = "") -> None:
        file = self.machine.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_packages_known_by_name_none_may_go(tmp_path: Path, fleet: Fleet) -> None:
    world = World(tmp_path, [fleet.package(name, "1-1") for name in ("base", *NAMED)], fleet)
    world.sync("base", *NAMED)
    refused = world.refused("base")
    assert refused.code == "protected" and all(f"{name} (" in refused.message for name in NAMED)
    assert "grub (it is the last boot loader)" in refused.message
    assert "--force-remove grub" in refused.hint
    for name in NAMED:
        rest = [one for one in NAMED if one != name]
        assert world.refused(*rest).message.count("(") == 1
        world.sync(*rest, forced=[name])
    world.refused("base", forced=NAMED[1:])
    world.sync("base", forced=NAMED)


def test_packages_known_by_their_files_none_may_go(tmp_path: Path, fleet: Fleet) -> None:
    files = {
        "snake": "usr/bin/python3",
        "kernel-own": "usr/lib/modules/6.1-own/vmlinuz",
        "boot-own": "usr/bin/limine",
        "shell-own": "usr/bin/sshd",
        "net-own": "usr/bin/NetworkManager",
        "units-own": "usr/lib/systemd/system/pacsync-agent.service",
        "hook-own": "usr/share/libalpm/hooks/zz-pacsync-agent.hook",
        "init-own": "usr/bin/init",
    }
    made = [fleet.package(name, "1-1", files={path: b"x"}) for name, path in files.items()]
    headers = fleet.package("headers", "1-1", files={"usr/lib/modules/6.1-own/build/x": b""})
    world = World(tmp_path, [*made, headers], fleet)
    refused = world.refused()
    assert all(f"{name} (" in refused.message for name in files) and "headers" not in refused.message


def test_upgrade_is_no_removal_and_one_of_several_is_enough(tmp_path: Path, fleet: Fleet) -> None:
    world = World(tmp_path, [fleet.package(name, "1-1") for name in ("linux", "linux-lts", "python")], fleet)
    world.sync("linux-lts", new=[fleet.package("python", "2-1")])
    assert world.refused("python").message.count("it is the last kernel") == 2


def test_replacement_by_name_by_provides_or_by_files_is_no_removal(tmp_path: Path, fleet: Fleet) -> None:
    world = World(tmp_path, [fleet.package(name, "1-1") for name in ("linux", "networkmanager", "python")], fleet)
    own = fleet.package("linux-own", "1-1", files={"usr/lib/modules/6.1-own/vmlinuz": b"k"})
    net = fleet.package("networkmanager-git", "1-1", provides=["networkmanager=1"])
    snake = fleet.package("snake", "1-1", files={"usr/bin/python3": "python3.12"})
    world.sync(new=[fleet.package("linux-lts", "1-1"), net, snake])
    world.sync(new=[own, net, snake])
    assert "linux (" in world.refused(new=[fleet.package("linux-docs", "1-1"), net, snake]).message


def test_network_that_is_enabled_counts_and_not_what_lies_beside_it(tmp_path: Path, fleet: Fleet) -> None:
    world = World(tmp_path, [fleet.package(name, "1-1") for name in ("networkmanager", "dhcpcd", "systemd")], fleet)
    world.sync("systemd", "dhcpcd")
    world.write("etc/systemd/system/multi-user.target.wants/NetworkManager.service")
    assert "networkmanager (" in world.refused("systemd", "dhcpcd").message
    assert "networkmanager (" in world.refused("systemd", new=[fleet.package("connman", "1-1")]).message
    world.write("etc/systemd/system/multi-user.target.wants/systemd-networkd.service")
    assert "networkmanager (" in world.refused("systemd", "dhcpcd").message


NETWORKD = "multi-user.target.wants/systemd-networkd.service"


@pytest.mark.parametrize(
    ("kept", "gone", "units", "settings"),
    [
        ("systemd", "iwd", [NETWORKD, "multi-user.target.wants/iwd.service"], {}),
        ("systemd", "wpa_supplicant", [NETWORKD, "multi-user.target.wants/wpa_supplicant@wlan0.service"], {}),
        ("systemd", "wpa_supplicant", [NETWORKD, "x.target.requires/wpa_supplicant-nl80211@wlan0.service"], {}),
        (
            "networkmanager",
            "iwd",
            ["multi-user.target.wants/NetworkManager.service"],
            {"etc/NetworkManager/conf.d/wifi.conf": "[device]\nwifi.backend=iwd\n"},
        ),
        (
            "networkmanager",
            "iwd",
            ["multi-user.target.wants/NetworkManager.service"],
            {"etc/NetworkManager/NetworkManager.conf": "[main]\n[device-x]\nwifi.backend = iwd\n"},
        ),
        ("networkmanager", "wpa_supplicant", ["multi-user.target.wants/NetworkManager.service"], {}),
        (
            "networkmanager",
            "dhcpcd",
            ["multi-user.target.wants/NetworkManager.service"],
            {"usr/lib/NetworkManager/conf.d/a.conf": "[main]\ndhcp=dhcpcd\n"},
        ),
        (
            "netctl",
            "wpa_supplicant",
            ["multi-user.target.wants/netctl@home.service"],
            {"etc/netctl/home": "Interface=wlan0\nConnection=wireless\nIP=static\n"},
        ),
        ("iwd", "dhcpcd", ["multi-user.target.wants/iwd.service"], {}),
    ],
)
def test_each_that_brings_the_network_up_is_needed(
    tmp_path: Path, fleet: Fleet, kept: str, gone: str, units: list[str], settings: dict[str, str]
) -> None:
    world = World(tmp_path, [fleet.package(name, "1-1") for name in (kept, gone, "connman")], fleet)
    world.sync(kept, "connman", forced=["connman"])  # nothing is enabled: one of several is enough
    for unit in units:
        world.write(f"etc/systemd/system/{unit}")
    for path, text in settings.items():
        world.write(path, text)
    if kept == "iwd":  # it brings the link up; either of the others has to bring an address
        world.sync(kept, gone)
        assert "iwd (the network is brought up by it)" in world.refused(gone, "connman").message
        assert f"{gone} (" in world.refused(kept).message
        world.write("etc/iwd/main.conf", "[General]\nEnableNetworkConfiguration=true\n")
        world.sync(kept)
        return
    world.sync(kept, gone)
    assert f"{gone} (the network is brought up by it)" in world.refused(kept, "connman").message
    world.sync(kept, new=[fleet.package(f"{gone}-git", "1-1", provides=[f"{gone}=1"])])
    assert f"{gone} (" in world.refused(kept, new=[fleet.package("dropbear", "1-1")]).message


def test_package_with_another_name_counts_by_what_it_provides_or_by_its_files(tmp_path: Path, fleet: Fleet) -> None:
    git = fleet.package("networkmanager-git", "1-1", provides=["networkmanager=1"])
    own = fleet.package("connman-own", "1-1", files={"usr/bin/connmand": b"x"})
    world = World(tmp_path, [git, own, fleet.package("iwd", "1-1")], fleet)
    for unit in ("NetworkManager", "iwd"):
        world.write(f"etc/systemd/system/multi-user.target.wants/{unit}.service")
    assert "networkmanager-git (" in world.refused("iwd").message
    world.sync("iwd", new=[fleet.package("networkmanager", "2-1")])
    world.sync("iwd", "networkmanager-git")
    world.write("etc/systemd/system/multi-user.target.wants/connman.service")
    assert "connman-own (" in world.refused("iwd", "networkmanager-git").message


def test_supplicant_that_isnt_enabled_brings_no_network_up(tmp_path: Path, fleet: Fleet) -> None:
    world = World(tmp_path, [fleet.package(name, "1-1") for name in ("dhcpcd", "wpa_supplicant", "systemd")], fleet)
    world.sync("dhcpcd", "systemd")
    assert "dhcpcd (it is the last" in world.refused("wpa_supplicant", "systemd").message
    # The units of the link are enabled, and whatever starts dhcpcd isn't seen.
    world.write("etc/systemd/system/multi-user.target.wants/wpa_supplicant@wlan0.service")
    assert "dhcpcd (" in world.refused("wpa_supplicant", "systemd").message
    assert "wpa_supplicant (" in world.refused("dhcpcd", "systemd").message


@pytest.mark.parametrize(
    ("used", "other", "trace"),
    [
        ("grub", "syslinux", "boot/grub/grub.cfg"),
        ("grub", "limine", "boot/grub/x86_64-efi/core.efi"),
        ("syslinux", "grub", "boot/syslinux/syslinux.cfg"),
        ("refind", "grub", "efi/EFI/refind/refind.conf"),
        ("limine", "grub", "boot/limine.conf"),
    ],
)
def test_boot_loader_in_use_counts_and_not_what_is_only_installed(
    tmp_path: Path, fleet: Fleet, used: str, other: str, trace: str
) -> None:
    world = World(tmp_path, [fleet.package(name, "1-1") for name in (used, other, "systemd")], fleet)
    world.sync(other, "systemd")  # nothing shows which of them is used
    world.write(trace)
    assert f"{used} (it is the last boot loader)" in world.refused(other, "systemd").message
    world.sync(used, "systemd")
    world.sync("systemd", new=[fleet.package("efilinux", "1-1")])


def test_boot_loader_without_known_traces_may_be_in_use_beside_one_that_has_them(tmp_path: Path, fleet: Fleet) -> None:
    own = fleet.package("boot-own", "1-1", files={"usr/bin/extlinux": b"x"})
    world = World(tmp_path, [own, fleet.package("grub", "1-1")], fleet)
    world.write("boot/grub/grub.cfg")
    assert "grub (" in world.refused("boot-own").message and "boot-own (" in world.refused("grub").message


def test_systemd_counts_as_boot_loader_where_it_is_one(tmp_path: Path, fleet: Fleet) -> None:
    made = [fleet.package("grub", "1-1"), fleet.package("systemd", "1-1")]
    world = World(tmp_path, made, fleet)
    assert "grub (" in world.refused("systemd").message
    world.write("efi/loader/loader.conf")
    world.sync("systemd")


def test_list_is_a_setting_of_the_machine(tmp_path: Path, fleet: Fleet) -> None:
    world = World(tmp_path, [fleet.package(name, "1-1") for name in ("linux", "grub", "wireguard-tools")], fleet)
    assert "wireguard-tools (the machine's configuration protects it)" in world.refused(words=("wire*",)).message
    assert world.refused(words=("default", "wire*")).message.count("(") == 3
    assert "linux" not in world.refused(words=("boot_loader",)).message
    world.sync(words=())


def test_found_owners_are_kept_until_a_package_changes(tmp_path: Path, fleet: Fleet) -> None:
    world = World(tmp_path, [fleet.package("python", "1-1")], fleet)
    world.sync("python")
    kept = (world.state_dir / "protected.json").read_bytes()
    world.sync("python")
    assert (world.state_dir / "protected.json").read_bytes() == kept
    world.machine.pacman("-U", fleet.package("snake", "1-1", files={"usr/bin/python3": b""}).path)
    assert "snake (" in world.refused("python").message


# --- places that aren't mounted


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
