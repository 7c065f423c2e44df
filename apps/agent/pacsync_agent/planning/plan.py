"""The plan of a transaction, from the installed to the wanted packages. Pure: no files, no pacman."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Optional

from apps.fleet.alpm.state import InstalledPackage
from apps.fleet.alpm.version import vercmp

from ..databases.local_db import Installed, LocalPackage
from ..errors import Refused
from ..packages.package_file import PackageFile
from ..terminal.listing import named


@dataclass(frozen=True)
class Plan:
    """`install`: packages whose files are needed. `remove`: installed ones that must go. `reasons`: to be set."""

    install: tuple[InstalledPackage, ...]
    remove: tuple[LocalPackage, ...]
    reasons: tuple[InstalledPackage, ...]
    upgrades: int
    downgrades: int
    new: int

    def __bool__(self) -> bool:
        return bool(self.install or self.remove or self.reasons)

    @property
    def touched(self) -> set[str]:
        """The names of what is installed or removed."""
        return {package.name for package in self.install} | {package.name for package in self.remove}

    def counts(self) -> dict[str, int]:
        return {
            "install": self.new,
            "upgrade": self.upgrades,
            "downgrade": self.downgrades,
            "remove": len(self.remove),
            "reason": len(self.reasons),
        }


def make(installed: Installed, wanted: Iterable[InstalledPackage], again: Collection[str] = ()) -> Plan:
    """The plan from `installed` to `wanted`; packages named in `again` are reinstalled even if they seem to be there.

    Its `reasons` has the installed packages with a wrong install reason; those of new ones are set afterwards.
    """
    wanted = list(wanted)
    names = {package.name for package in wanted}
    install: list[InstalledPackage] = []
    reasons: list[InstalledPackage] = []
    orders: list[Optional[int]] = []
    for package in wanted:
        present = installed.get(package.name)
        if present is None or (present.version, present.arch) != (package.version, package.arch):
            install.append(package)
            orders.append(None if present is None else vercmp(package.version, present.version))
        elif package.name in again:
            install.append(package)
        if present is not None and present.reason != package.reason:
            reasons.append(package)
    return Plan(
        install=tuple(install),
        remove=tuple(package for package in installed.values() if package.name not in names),
        reasons=tuple(reasons),
        upgrades=sum(order is not None and order > 0 for order in orders),
        downgrades=sum(order is not None and order < 0 for order in orders),
        new=orders.count(None),
    )


def matching(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The names that one of the shell patterns matches, as IgnorePkg and HoldPkg do."""
    patterns = [pattern.replace("[^", "[!") for pattern in patterns]  # fnmatch(3), which pacman uses, takes both
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def check_permitted(plan: Plan, *, protected: Iterable[str], held: Iterable[str]) -> None:
    """Refuse to change held packages: a package named to pacman overrides IgnorePkg and HoldPkg."""
    names = matching([package.name for package in plan.remove], protected)
    if names:
        raise Refused(
            "protected_package",
            f"The target has no {named(names)}, but HoldPkg protects {'it' if len(names) == 1 else 'them'} here.",
            "Exclude it in the pool, or set a target that has it. HoldPkg in pacman.conf is for what pacman needs: "
            "take the package out of it only if this machine can do without.",
        )
    touched = {package.name for package in plan.install} | {package.name for package in plan.remove}
    names = matching(sorted(touched), held)
    if names:
        raise Refused(
            "held_package",
            f"The target changes {named(names)}, but IgnorePkg or IgnoreGroup holds "
            f"{'it' if len(names) == 1 else 'them'} here.",
            "Report the holds with `pacsync-agent once` and try again, or lift the hold in pacman.conf.",
        )


def check_groups(files: Iterable[PackageFile], ignored_groups: Collection[str]) -> None:
    """Refuse a package whose IgnoreGroup only its own file shows: pacman would not install it either."""
    names = sorted(file.name for file in files if matching(file.groups, ignored_groups))
    if names:
        raise Refused(
            "held_package",
            f"The target brings {named(names)}, of a group that IgnoreGroup holds here; the sync databases of this "
            "machine don't say that yet.",
            "Exclude it in the pool. Or fetch them with `pacman -Sy`, report with `pacsync-agent once` and try again; "
            "install nothing with pacman in between, that would be a partial upgrade.",
        )
