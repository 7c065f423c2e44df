"""The difference of two sets of packages, and the goal of one endpoint. Pure functions: it must not know the database.

The words are those of docs/protocol.md; docs/fleet.md explains what is kept and why.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import translate
from functools import lru_cache

from .alpm.state import InstalledPackage
from .alpm.version import vercmp


class ChangeKind(StrEnum):
    """What happens to one package. `replace`: neither older nor newer, but another arch or spelling of the version."""

    INSTALL = "install"
    REMOVE = "remove"
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    REPLACE = "replace"
    REASON = "reason"


@dataclass(frozen=True)
class Change:
    """One package that is not the same: `before` is None for an install, `after` for a removal."""

    name: str
    kind: ChangeKind
    before: InstalledPackage | None
    after: InstalledPackage | None


def compare(before: Iterable[InstalledPackage], after: Iterable[InstalledPackage]) -> list[Change]:
    """What leads from `before` to `after`, sorted by name; empty when they are equal, install reasons included."""
    old = {package.name: package for package in before}
    new = {package.name: package for package in after}
    return [
        Change(name, _kind(old.get(name), new.get(name)), old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
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
    """How many changes there are of each kind; every kind is there, also with 0."""
    found = Counter(change.kind for change in changes)
    return {kind.value: found[kind] for kind in ChangeKind}


class Kept:
    """Which packages an operation leaves exactly as they are on the endpoint, absence included, and why."""

    def __init__(self, *, held: Iterable[str], foreign: Iterable[str], excluded: Iterable[str]) -> None:
        """`held` and `excluded` are shell patterns as in IgnorePkg, `foreign` are names."""
        self._held = _matcher(held)
        self._foreign = frozenset(foreign)
        self._excluded = _matcher(excluded)

    def why(self, name: str) -> str | None:
        """`held`, `foreign` or `excluded`, the first that applies; None for a package that follows the target."""
        if self._held.match(name):
            return "held"
        if name in self._foreign:
            return "foreign"
        return "excluded" if self._excluded.match(name) else None

    def among(self, names: Iterable[str]) -> dict[str, list[str]]:
        """The kept ones of these names by reason, each under one: {"held": […], "foreign": […], "excluded": […]}."""
        found: dict[str, list[str]] = {"held": [], "foreign": [], "excluded": []}
        for name in sorted(set(names)):
            why = self.why(name)
            if why:
                found[why].append(name)
        return found


def goal(
    installed: Iterable[InstalledPackage], target: Iterable[InstalledPackage], kept: Kept
) -> list[InstalledPackage]:
    """The target of one endpoint: `target` but for the kept names, which are as they are in `installed`."""
    follow = [package for package in target if not kept.why(package.name)]
    return sorted(follow + [package for package in installed if kept.why(package.name)])


def matching(names: Iterable[str], patterns: Iterable[str]) -> set[str]:
    """The names that match any of the shell patterns, as pacman matches IgnorePkg (case matters)."""
    matcher = _matcher(patterns)
    return {name for name in names if matcher.match(name)}


def _matcher(patterns: Iterable[str]) -> re.Pattern[str]:
    # fnmatch(3), which pacman uses, also takes [^…] for a negated set; Python only [!…].
    alternatives = [translate(pattern.replace("[^", "[!")) for pattern in patterns]
    return re.compile("|".join(alternatives) if alternatives else r"(?!)")


def as_json(changes: Iterable[Change]) -> list[dict[str, object]]:
    """The changes as docs/protocol.md shows them."""
    return [
        {"name": change.name, "change": change.kind.value, "from": _side(change.before), "to": _side(change.after)}
        for change in changes
    ]


def _side(package: InstalledPackage | None) -> dict[str, str] | None:
    return {"version": package.version, "arch": package.arch, "reason": package.reason} if package else None
