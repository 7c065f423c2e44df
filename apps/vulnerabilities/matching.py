"""Which advisories concern a package: the tracker's own rule, in pacman's order of versions. It reads nothing."""

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from apps.fleet.alpm.version import vercmp


class Fixable(Protocol):
    """What has a `fixed` version, or None while there is none."""

    @property
    def fixed(self) -> str | None: ...


A = TypeVar("A", bound=Fixable)


def affects(advisory: Fixable, version: str) -> bool:
    """Whether the advisory, which is about the package and can affect, concerns this version of it."""
    return advisory.fixed is None or vercmp(version, advisory.fixed) < 0


def concerning(name: str, version: str, by_package: Mapping[str, Iterable[A]]) -> list[A]:
    """The advisories that concern the package. `by_package`: those that are about each name, and can affect."""
    return [advisory for advisory in by_package.get(name, ()) if affects(advisory, version)]
