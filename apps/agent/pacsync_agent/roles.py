"""What a machine can't do without: to start, to be reached, to be brought to its next target. It must not know plans.

Each role names the packages that may fill it, and the files by which any other package is known to fill it. The names
are those of Arch's repositories and of builds in wide use; docs/agent.md has the list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Role:
    """`words` say what it is. `names` are packages that fill it, `files` a pattern of paths (relative, bytes).

    `marks` are words of which such a path has one. `alternatives`: one installed package of the role is enough; else
    each that fills it is needed. `units` are units of systemd by package: those that are enabled count, where there are
    any. `traces` are paths by package; without one an installed package doesn't fill the role. `recovers`: without it
    neither pacman nor the agent can put things right.
    """

    code: str
    words: str
    names: tuple[str, ...]
    files: re.Pattern[bytes]
    marks: tuple[bytes, ...]
    alternatives: bool = True
    units: tuple[tuple[str, str], ...] = ()
    traces: tuple[tuple[str, tuple[str, ...]], ...] = ()
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
)
_SSH = (
    ("openssh", r"(sshd(@.*)?|sshdgenkeys)\.(service|socket)"),
    ("dropbear", r"dropbear(@.*)?\.(service|socket)"),
    ("tinyssh", r"tinyssh@.*\.(service|socket)"),
)
_PLACES = ("boot", "efi", "boot/efi")
_SYSTEMD_BOOT = tuple(f"{place}/{path}" for place in _PLACES for path in ("loader/loader.conf", "EFI/systemd"))

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
        "the agent runs by it",
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
        traces=(("systemd", _SYSTEMD_BOOT),),
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
        "it is the last that brings the network up",
        tuple(name for name, _ in _NETWORK),
        _files(r"^usr/(s?bin/(NetworkManager|dhcpcd|connmand|netctl)|lib/(iwd/iwd|systemd/systemd-networkd))$"),
        (b"bin/NetworkManager", b"bin/dhcpcd", b"bin/connmand", b"bin/netctl", b"iwd/iwd", b"systemd/systemd-networkd"),
        units=_NETWORK,
        traces=(("systemd", ()),),  # only where its unit is enabled
    ),
)
BY_CODE = {role.code: role for role in ROLES}
