"""What a machine protects, and which plans it refuses for it: with real packages."""

from pathlib import Path

import pytest

from tests.agent.protected_world import World
from tests.support.pacman import Fleet

pytestmark = pytest.mark.needs("pacman")
# Known by their names, and by their files.
NAMED = ("python", "linux", "grub", "openssh", "networkmanager", "pacsync-agent", "pacman")


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
        assert "iwd (it brings up the network)" in world.refused(gone, "connman").message
        assert f"{gone} (" in world.refused(kept).message
        world.write("etc/iwd/main.conf", "[General]\nEnableNetworkConfiguration=true\n")
        world.sync(kept)
        return
    world.sync(kept, gone)
    assert f"{gone} (it brings up the network)" in world.refused(kept, "connman").message
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
