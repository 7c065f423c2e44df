"""Mount points of a machine's fstab with nothing mounted on them, and file systems that are mounted read-only.

A file that pacman writes below the former lands on the wrong file system, where the machine doesn't read it: a kernel
in an empty /boot, for example. Below the latter nothing can be written, and pacman may notice that too late. It must
not know packages.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MOUNTED = Path("/proc/self/mountinfo")
# No package has files there, and much is mounted there read-only: for containers, for services' secrets.
_RUNTIME = ("/dev", "/proc", "/run", "/sys", "/tmp")  # noqa: S108 - nothing is written there
# These hold no packages' files; what has no place is swap.
_VIRTUAL = {"proc", "sysfs", "devpts", "devtmpfs", "swap", "tmpfs", "ramfs", "hugetlbfs", "securityfs", "cgroup2"}
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Place:
    """A mount point below a root (`/usr`, or `/`); at `others`, below it, other file systems are mounted."""

    name: str
    others: tuple[str, ...] = ()

    def has(self, path: bytes) -> bool:
        """Whether the path, relative to the root, belongs to what is mounted there."""
        return _is_below(path, self.name) and not any(_is_below(path, other) for other in self.others)


def is_read_only(path: Path) -> bool:
    """Whether the file system of the path is mounted read-only. A path that isn't there is on none."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def read_only(root: Path, mounted: Path = MOUNTED) -> list[Place]:
    """Where read-only file systems are mounted, at `root` and below; without /proc only `root` is looked at.

    An automount that isn't mounted yet counts as writable: to ask would mount it.
    """
    base = os.path.realpath(root)
    try:
        automounts, points = _automounts(mounted), _mount_points(mounted)
    except OSError:
        automounts, points = set(), set()
    prefix = base.rstrip("/") + "/"
    names = sorted({"/", *(f"/{point[len(prefix) :]}" for point in points if point.startswith(prefix))})
    return [
        Place(name, tuple(other for other in names if other != name and _is_within(other, name)))
        for name in names
        if not any(name == one or _is_within(name, one) for one in _RUNTIME)
        and _below(base, name) not in automounts
        and is_read_only(Path(_below(base, name)))
    ]


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


def _is_within(place: str, outer: str) -> bool:
    return place.startswith(outer.rstrip("/") + "/")


def _is_below(path: bytes, place: str) -> bool:
    below = place.strip("/").encode(errors="surrogateescape")
    return not below or path.startswith(below + b"/")


def _automounts(mounted: Path) -> set[str]:
    """The mount points of autofs on which nothing is mounted."""
    kinds: dict[str, str] = {}
    for line in mounted.read_text(errors="surrogateescape").splitlines():
        fields, _, of_kind = line.partition(" - ")
        if len(fields.split()) > 4 and of_kind:
            kinds[_plain(fields.split()[4])] = of_kind.split()[0]  # the last one is on top
    return {place for place, kind in kinds.items() if kind == "autofs"}


def _mount_points(mounted: Path) -> set[str]:
    lines = mounted.read_text(errors="surrogateescape").splitlines()
    return {_plain(fields[4]) for line in lines if len(fields := line.split()) > 4}


def _below(base: str, place: str) -> str:
    """The real path of the mount point: a parent may be a link, as /efi is on some machines."""
    return os.path.realpath(os.path.join(base, place.lstrip("/")))


def _plain(field: str) -> str:
    """fstab(5) and proc(5) write spaces and the like as octal numbers."""
    return _OCTAL.sub(lambda found: chr(int(found.group(1), 8)), field)
