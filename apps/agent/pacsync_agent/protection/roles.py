"""The roles that a machine can't do without: to boot, to be reached, to be synced. It must not know plans.

Each role names the packages that may fill it, and the files that show that another package does. The names
are those of Arch's repositories and of builds in wide use; docs/agent.md has the list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Role:
    """`words` name the role. `names` are packages that fill it, `files` a pattern of paths (relative, bytes).

    `marks`: each such path has one of these words. `alternatives`: one installed package of the role is enough; else
    all are needed. `units` are systemd units by package: if any are enabled, only these count. `each_enabled`: none of
    the enabled ones may go, for this reason; if only `parts` are enabled, one of the others has to stay. `traces` are
    paths by package that a package in use leaves (in_use.py). A package in `only_in_use` fills the role only with a
    unit or trace. `recovers`: without the role neither pacman nor the agent can repair anything.
    """

    code: str
    words: str
    names: tuple[str, ...]
    files: re.Pattern[bytes]
    marks: tuple[bytes, ...]
    alternatives: bool = True
    units: tuple[tuple[str, str], ...] = ()
    each_enabled: str = ""
    parts: tuple[str, ...] = ()
    traces: tuple[tuple[str, tuple[str, ...]], ...] = ()
    only_in_use: tuple[str, ...] = ()
    recovers: bool = False


def _files(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode())


_NETWORK = (
    ("networkmanager", r"NetworkManager\.service"),
    ("systemd", r"systemd-networkd\.(service|socket)"),
    ("dhcpcd", r"dhcpcd(@.*)?\.service"),
    ("iwd", r"iwd\.service"),
    ("connman", r"connman\.service"),
    ("netctl", r"netctl(-auto|-ifplugd)?(@.*)?\.service"),
    ("wpa_supplicant", r"wpa_supplicant(-nl80211|-wired)?(@.*)?\.service"),
)
_SSH = (
    ("openssh", r"(sshd(@.*)?|sshdgenkeys)\.(service|socket)"),
    ("dropbear", r"dropbear(@.*)?\.(service|socket)"),
    ("tinyssh", r"tinyssh@.*\.(service|socket)"),
)
_PLACES = ("boot", "efi", "boot/efi")


def _in_places(*paths: str) -> tuple[str, ...]:
    return tuple(f"{place}/{path}" for place in _PLACES for path in paths)


_BOOT_LOADERS = (
    ("systemd", _in_places("loader/loader.conf", "EFI/systemd")),
    ("grub", _in_places("grub/grub.cfg", "grub/x86_64-efi", "grub/i386-pc")),
    ("syslinux", ("boot/extlinux/extlinux.conf", *_in_places("syslinux/syslinux.cfg", "EFI/syslinux/syslinux.cfg"))),
    ("refind", _in_places("EFI/refind", "refind_linux.conf")),
    ("limine", _in_places("limine.conf", "limine", "EFI/limine", "EFI/BOOT/limine.conf")),
)

ROLES = (
    Role(
        "agent",
        "it is this agent's",
        ("pacsync-agent",),
        _files(r"(^|/)[^/]*pacsync-agent[^/]*$"),
        (b"pacsync-agent",),
        False,
    ),
    Role(
        "interpreter",
        "the agent runs with it",
        ("python",),
        _files(r"^usr/bin/python3$"),
        (b"bin/python3",),
        False,
        recovers=True,
    ),
    Role(
        "pacman",
        "it installs packages",
        ("pacman",),
        _files(r"^usr/bin/pacman$"),
        (b"bin/pacman",),
        False,
        recovers=True,
    ),
    Role(
        "init",
        "it starts the system",
        ("systemd",),
        _files(r"^usr/(s?bin/init|lib/systemd/systemd)$"),
        (b"bin/init", b"systemd/systemd"),
        False,
    ),
    Role(
        "kernel",
        "it is the last kernel",
        ("linux", "linux-lts", "linux-zen", "linux-hardened", "linux-rt", "linux-rt-lts", "linux-mainline"),
        _files(r"^(usr/)?lib/modules/[^/]+/(vmlinuz|pkgbase)$|^boot/vmlinuz[^/]*$"),
        (b"/vmlinuz", b"/pkgbase"),
    ),
    Role(
        "boot_loader",
        "it is the last boot loader",
        ("grub", "limine", "refind", "syslinux", "systemd", "efilinux", "lilo"),
        _files(r"^usr/(s?bin/(grub-install|limine|refind-install|extlinux|syslinux)|lib/systemd/boot/efi/[^/]+)$"),
        (b"grub-install", b"limine", b"refind-install", b"extlinux", b"syslinux", b"systemd/boot/efi/"),
        traces=_BOOT_LOADERS,
        only_in_use=("systemd",),
    ),
    Role(
        "ssh",
        "it is the last way in by SSH",
        tuple(name for name, _ in _SSH),
        _files(r"^usr/s?bin/(sshd|dropbear|tinysshd)$"),
        (b"bin/sshd", b"bin/dropbear", b"bin/tinysshd"),
        units=_SSH,
    ),
    Role(
        "network",
        "it is the last package that brings up the network",
        tuple(name for name, _ in _NETWORK),
        _files(r"^usr/(s?bin/(NetworkManager|dhcpcd|connmand|netctl)|lib/(iwd/iwd|systemd/systemd-networkd))$"),
        (b"bin/NetworkManager", b"bin/dhcpcd", b"bin/connmand", b"bin/netctl", b"iwd/iwd", b"systemd/systemd-networkd"),
        units=_NETWORK,
        each_enabled="it brings up the network",
        parts=("iwd", "wpa_supplicant"),
        only_in_use=("systemd", "wpa_supplicant"),
    ),
)
BY_CODE = {role.code: role for role in ROLES}
