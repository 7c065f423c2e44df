"""The packages of the demo (packages.txt) on any day, installed on a machine or offered by a repository.

Days are numbers: 0 is the day of the list, earlier ones are negative. It must not know the database.
"""

import functools
import hashlib
from collections.abc import Collection
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from apps.fleet.alpm import repository as repository_text
from apps.fleet.alpm.repository import OfferedPackage
from apps.fleet.alpm.state import DEPENDENCY, EXPLICIT, InstalledPackage
from demo import versions

DAY_0 = date(2026, 7, 10)
LIST = Path(__file__).with_name("packages.txt")
ARCH = "x86_64"
REPOSITORIES = ("core", "extra", "multilib")
# Upstreams release every 12 to 90 days.
_SHORTEST, _LONGEST = 12, 90
# Well-known packages: days between two releases, and days from the last one to day 0. They are released so often that a
# machine with the previous target, the current one, or a later upgrade has different versions of them.
_RELEASES = {
    "bash": (12, 3),
    "curl": (5, 4),
    "firefox": (5, 3),
    "git": (12, 4),
    "gnome-shell": (14, 5),
    "haproxy": (12, 4),
    "lib32-openssl": (5, 4),
    "linux": (5, 4),
    "nginx": (12, 5),
    "openssh": (14, 4),
    "openssl": (5, 4),
    "postgresql": (14, 3),
    "sudo": (14, 5),
    "systemd": (6, 5),
}


class Package(NamedTuple):
    """One line of the list; `size` in bytes."""

    role: str
    name: str
    version: str
    repository: str
    size: int
    explicit: bool

    def on(self, day: int) -> str:
        """The version on that day. Packages with the same version have one upstream, which releases them together."""
        period, since = _released(self.version.partition("-")[0])
        return _moved(self.version, (day + since) // period)

    def installed(self, day: int) -> InstalledPackage:
        return InstalledPackage(self.name, self.on(day), ARCH, EXPLICIT if self.explicit else DEPENDENCY)


_moved = functools.lru_cache(maxsize=65536)(versions.moved)


@functools.cache
def _well_known() -> dict[str, tuple[int, int]]:
    """_RELEASES by upstream version."""
    return {one.version.partition("-")[0]: _RELEASES[one.name] for one in catalogue() if one.name in _RELEASES}


@functools.cache
def _released(upstream: str) -> tuple[int, int]:
    """Days between two releases of that upstream, and days from its last one to day 0."""
    if upstream in _well_known():
        return _well_known()[upstream]
    number = int.from_bytes(hashlib.sha256(upstream.encode()).digest()[:4], "big")
    period = _SHORTEST + number % (_LONGEST - _SHORTEST)
    return period, (number >> 8) % period


def date_of(day: int) -> date:
    return DAY_0 + timedelta(days=day)


@functools.cache
def catalogue() -> tuple[Package, ...]:
    """All packages, sorted by name."""
    lines = [line.split() for line in LIST.read_text().splitlines() if not line.startswith("#")]
    return tuple(
        sorted(
            (
                Package(role, name, version, repository, int(size) << 10, bool(mark))
                for role, name, version, repository, size, *mark in lines
            ),
            key=lambda package: package.name,
        )
    )


@functools.cache
def roles() -> tuple[str, ...]:
    """All roles, sorted."""
    return tuple(sorted({package.role for package in catalogue()}))


@functools.lru_cache(maxsize=256)
def installed(roles: Collection[str], day: int) -> tuple[InstalledPackage, ...]:
    """The packages of a machine with these roles on that day, sorted by name."""
    return tuple(package.installed(day) for package in catalogue() if package.role in roles)


@functools.lru_cache(maxsize=64)
def repository(name: str, day: int) -> bytes:
    """The canonical text of what the repository offered on that day (docs/protocol.md)."""
    return repository_text.to_text(_offered(package, day) for package in catalogue() if package.repository == name)


def _offered(package: Package, day: int) -> OfferedPackage:
    version = package.on(day)
    filename = f"{package.name}-{version}-{ARCH}.pkg.tar.zst"
    sha256 = hashlib.sha256(filename.encode()).hexdigest()
    return OfferedPackage(package.name, version, ARCH, filename, sha256, package.size)
