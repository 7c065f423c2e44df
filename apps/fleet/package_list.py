"""The packages of an endpoint, a state or a revision as a list with filters: what is on a machine, and from where.

It must not know HTTP or what a sync would change.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from . import goals, repositories, revisions, states, target_files, time_limit
from .alpm.state import REASONS, InstalledPackage
from .alpm.target_files import TargetFile
from .exceptions import Invalid, NotFound
from .models import Endpoint, State, TargetRevision
from .patterns import Matcher

NO_REPOSITORY = "-"
"""As a repository's name in a filter: the packages that are in none."""


class Listed(NamedTuple):
    """One package. `repository` is the first one of the endpoint that offers its name, or the target's, or None.

    `foreign` and `held` are about an endpoint; `file` is the one that a revision holds.
    """

    package: InstalledPackage
    repository: str | None = None
    foreign: bool = False
    held: bool = False
    file: TargetFile | None = None


@dataclass(frozen=True, kw_only=True)
class PackageFilter:
    """What a list is narrowed to: part of a name, a reason, a repository; `foreign` and `held` None: either."""

    q: str = ""
    reason: str | None = None
    foreign: bool | None = None
    held: bool | None = None
    repository: str | None = None

    def check(self) -> None:
        """Raise Invalid for a reason that isn't `explicit` or `dependency`."""
        if self.reason is not None and self.reason not in REASONS:
            raise Invalid(f"reason is {' or '.join(REASONS)}.", field="reason")

    def among(self, listed: Iterable[Listed]) -> list[Listed]:
        """Those that are wanted, in their order."""
        repository = None if self.repository == NO_REPOSITORY else self.repository
        return [
            one
            for one in listed
            if self.q in one.package.name
            and self.reason in (None, one.package.reason)
            and self.foreign in (None, one.foreign)
            and self.held in (None, one.held)
            and (self.repository is None or one.repository == repository)
        ]


def of_endpoint(endpoint: Endpoint) -> list[Listed]:
    """What the endpoint has reported, by name. Raises StateUnknown, StateTooLarge, ComparisonTooLong."""
    packages = states.load(goals.reported_state(endpoint))
    foreign, holds = foreign_names(endpoint), Matcher(endpoint.holds)
    origin = _origins(endpoint)
    return [
        Listed(one, repository=origin(one.name), foreign=one.name in foreign, held=holds.matches(one.name))
        for one in packages
    ]


def foreign_names(endpoint: Endpoint) -> set[str]:
    """The endpoint's foreign packages, as its pool's current target leaves them: what that has isn't foreign."""
    revision = endpoint.pool.target if endpoint.pool else None
    if revision is None or not endpoint.foreign:
        return set(endpoint.foreign)
    return set(goals.foreign_to(endpoint, states.load(revision.state), revisions.offered_by(revision)))


def of_state(state: State) -> list[Listed]:
    """What is in the state, by name: of a state alone nothing is known but names, versions and reasons."""
    return [Listed(one) for one in states.load(state)]


def of_revision(revision: TargetRevision) -> list[Listed]:
    """What the revision manages, by name, each with the file behind it where that was recorded."""
    files = target_files.load(revision)
    listed = ((one, file_of(one, files)) for one in states.load(revision.state))
    return [Listed(one, repository=file.repository if file else None, file=file) for one, file in listed]


def file_of(package: InstalledPackage, files: Mapping[str, TargetFile]) -> TargetFile | None:
    """The file of exactly this version, if the revision holds it."""
    file = files.get(package.name)
    return file if file and file.package == package[:3] else None


def repositories_in(listed: Iterable[Listed]) -> list[str]:
    """The names of the repositories that a list has packages of, for a filter."""
    return sorted({one.repository for one in listed if one.repository})


def _origins(endpoint: Endpoint) -> Callable[[str], str | None]:
    """The first repository that offers a name, in pacman's order; contents that aren't kept any more offer nothing."""
    offered: list[tuple[str, frozenset[str]]] = []
    for repository, digest in endpoint.repositories.values_list("name", "content_id"):
        time_limit.check()
        try:
            offered.append((repository, repositories.names(digest)))
        except NotFound:
            continue
    return lambda name: next((repository for repository, names in offered if name in names), None)
