"""Whether a pool's target would fix what concerns an endpoint. It must not know how a sync is made or shown."""

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import NamedTuple

from apps.fleet import states
from apps.fleet.models import PackageVersion, State

from . import matching
from .findings import Installed


class Remedy(StrEnum):
    """What a sync to the target does about a finding."""

    FIXED = "fixed"  # the target has a version that isn't affected
    REMOVED = "removed"  # the target doesn't have the package
    AFFECTED = "affected"  # the target's version is affected, too
    KEPT = "kept"  # no sync touches the package on this endpoint


class Remedied(NamedTuple):
    """A finding, what the target does about it (None without a target), and the target's version of the package."""

    finding: Installed
    remedy: Remedy | None
    version: str | None


def by_target(found: Sequence[Installed], target: State | None, kept: Collection[str]) -> list[Remedied]:
    """In the same order. `kept`: names that no sync touches on the endpoint. One statement."""
    versions = _versions(target, {one.package for one in found}) if target is not None and found else {}
    return [
        Remedied(one, None if target is None else _remedy(one, versions, kept), versions.get(one.package))
        for one in found
    ]


def _remedy(one: Installed, versions: dict[str, str], kept: Collection[str]) -> Remedy:
    if one.package in kept:
        return Remedy.KEPT
    version = versions.get(one.package)
    if version is None:
        return Remedy.REMOVED
    return Remedy.AFFECTED if matching.affects(one.advisory, version) else Remedy.FIXED


def _versions(state: State, names: Collection[str]) -> dict[str, str]:
    """The version of each of these packages that the state has."""
    keys = {value >> 1 for value in states.unpack(state.packages)}
    rows = PackageVersion.objects.filter(name__in=names).values_list("pk", "name", "version")
    return {name: version for key, name, version in rows if key in keys}
