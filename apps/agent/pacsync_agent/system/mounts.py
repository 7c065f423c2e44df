"""Mount points of a machine's fstab with nothing mounted on them. It must not know packages.

A file that pacman writes below one lands on the wrong file system, where the machine doesn't read it: a kernel in an
empty /boot, for example.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

MOUNTED = Path("/proc/self/mountinfo")
# These hold no packages' files; what has no place is swap.
_VIRTUAL = {"proc", "sysfs", "devpts", "devtmpfs", "swap", "tmpfs", "ramfs", "hugetlbfs", "securityfs", "cgroup2"}
_OCTAL = re.compile(r"\\([0-7]{3})")


def missing(root: Path, mounted: Path = MOUNTED) -> list[str]:
    """The mount points (`/boot`) of `root`'s own fstab that aren't mounted now, sorted; empty without an fstab.

    Those with `noauto` are included: their admin mounts them before an upgrade. An automount counts as mounted.
    """
    try:
        now = _mount_points(mounted)
    except OSError:  # nothing can be said without /proc
        return []
    base = os.path.realpath(root)
    return sorted(place for place in _places(root) if _below(base, place) not in now)


def _places(root: Path) -> set[str]:
    try:
        lines = (root / "etc/fstab").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return set()
    found = set()
    for line in lines:
        fields = line.split()
        if len(fields) < 3 or fields[0].startswith("#") or fields[2] in _VIRTUAL:
            continue
        place = _plain(fields[1]).rstrip("/")
        if place.startswith("/"):  # `none`, and the root itself, which is there
            found.add(place)
    return found


def _mount_points(mounted: Path) -> set[str]:
    lines = mounted.read_text(errors="surrogateescape").splitlines()
    return {_plain(fields[4]) for line in lines if len(fields := line.split()) > 4}


def _below(base: str, place: str) -> str:
    """The real path of the mount point: a parent may be a link, as /efi is on some machines."""
    return os.path.realpath(os.path.join(base, place.lstrip("/")))


def _plain(field: str) -> str:
    """fstab(5) and proc(5) write spaces and the like as octal numbers."""
    return _OCTAL.sub(lambda found: chr(int(found.group(1), 8)), field)
