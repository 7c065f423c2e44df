"""The difference of two sets of packages, and the goal of one endpoint. Pure functions: it must not know the database.

All of them raise ComparisonTooLong in a request whose time is used up (`time_limit`).

The words are those of docs/protocol.md; docs/fleet.md explains what is kept and why.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from .alpm.state import InstalledPackage
from .alpm.version import vercmp
from .patterns import Matcher
from .time_limit import bounded


class ChangeKind(StrEnum):
    """What happens to one package. `replace`: neither older nor newer, but another arch or spelling of the version."""

    INSTALL = "install"
    REMOVE = "remove"
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    REPLACE = "replace"
    REASON = "reason"


class Change(NamedTuple):
    """One package that is not the same: `before` is None for an install, `after` for a removal."""

    name: str
    kind: ChangeKind
    before: InstalledPackage | None
    after: InstalledPackage | None


def compare(before: Iterable[InstalledPackage], after: Iterable[InstalledPackage]) -> list[Change]:
    """What leads from `before` to `after`, sorted by name; empty when they are equal, install reasons included."""
    old = {package.name: package for package in before}
    new = {package.name: package for package in after}
    different = old.items() ^ new.items()
    return [
        Change(name, _kind(old.get(name), new.get(name)), old.get(name), new.get(name))
        for name in bounded(sorted({name for name, _ in different}))
    ]


def _kind(before: InstalledPackage | None, after: InstalledPackage | None) -> ChangeKind:
    if before is None:
        return ChangeKind.INSTALL
    if after is None:
        return ChangeKind.REMOVE
    order = _order(before.version, after.version)
    if order:
        return ChangeKind.UPGRADE if order < 0 else ChangeKind.DOWNGRADE
    same = (before.version, before.arch) == (after.version, after.arch)
    return ChangeKind.REASON if same else ChangeKind.REPLACE


@lru_cache(maxsize=16_384)  # endpoints of one fleet differ by the same versions again and again
def _order(one: str, two: str) -> int:
    return vercmp(one, two)


def counts(changes: Iterable[Change]) -> dict[str, int]:
    """How many changes there are of each kind; every kind is there, even with 0."""
    return count_kinds(Counter(change.kind for change in changes))


def count_kinds(found: Mapping[ChangeKind, int]) -> dict[str, int]:
    """The numbers by the names of the kinds."""
    return {kind.value: found.get(kind, 0) for kind in ChangeKind}


# Why a package is kept, in the order in which it is asked.
KEPT = ("held", "foreign", "excluded", "unmanaged")


class KeptPackages:
    """Which packages an operation leaves exactly as they are on the endpoint, absence included, and why."""

    def __init__(
        self,
        *,
        held: Iterable[str],
        foreign: Iterable[str],
        excluded: Iterable[str],
        unmanaged: Iterable[str] = (),
    ) -> None:
        """`held` and `excluded` are shell patterns as in IgnorePkg, `foreign` and `unmanaged` (by the target) names."""
        self._held = Matcher(held)
        self._foreign = frozenset(foreign)
        self._excluded = Matcher(excluded)
        self._unmanaged = frozenset(unmanaged)

    def why(self, name: str) -> str | None:
        """`held`, `foreign`, `excluded` or `unmanaged`, the first that applies; None for what follows the target."""
        if self._held.matches(name):
            return "held"
        if name in self._foreign:
            return "foreign"
        if self._excluded.matches(name):
            return "excluded"
        return "unmanaged" if name in self._unmanaged else None

    def among(self, names: Iterable[str]) -> dict[str, list[str]]:
        """The kept ones of these names by reason, each under one of `KEPT`."""
        found: dict[str, list[str]] = {why: [] for why in KEPT}
        for name in bounded(sorted(set(names))):
            why = self.why(name)
            if why:
                found[why].append(name)
        return found


def goal(
    installed: Iterable[InstalledPackage], target: Iterable[InstalledPackage], kept: KeptPackages
) -> list[InstalledPackage]:
    """The target of one endpoint: `target` except for the kept names, which are as they are in `installed`."""
    follow = [package for package in bounded(target) if not kept.why(package.name)]
    return sorted(follow + [package for package in bounded(installed) if kept.why(package.name)])


def matching(names: Iterable[str], patterns: Iterable[str]) -> set[str]:
    """The names that match any of the shell patterns, as pacman matches IgnorePkg (case matters)."""
    matcher = Matcher(patterns)
    return {name for name in bounded(names) if matcher.matches(name)}


def as_json(changes: Iterable[Change]) -> list[dict[str, object]]:
    """The changes as docs/protocol.md shows them."""
    return [
        {"name": change.name, "change": change.kind.value, "from": _side(change.before), "to": _side(change.after)}
        for change in changes
    ]


def _side(package: InstalledPackage | None) -> dict[str, str] | None:
    return {"version": package.version, "arch": package.arch, "reason": package.reason} if package else None
