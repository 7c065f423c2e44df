"""Repository analysis: what the endpoints of a pool could install, and where they disagree. Reads only.

Endpoints that see the same repositories are looked at once. It must not know HTTP.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.conf import settings

from . import difference, repositories, states
from .alpm.state import InstalledPackage
from .exceptions import FeatureDisabled
from .models import EndpointRepository, Pool
from .time_limit import bounded

Offer = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class VersionConflict:
    """A package that endpoints of the pool would get in different versions: version → names of endpoints."""

    name: str
    versions: dict[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Availability:
    """What an endpoint's own repositories have of the target: numbers and names, sorted.

    `other` has them in another version: then the file comes from a mirror of the target's source, or an archive.
    """

    endpoint: str
    exact: int
    other: list[str]
    missing: list[str]


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """Of one pool. `common` lists the names that every endpoint's repositories offer, `excluded` those that the pool's
    patterns take out of all syncs, `unreported` the endpoints that haven't reported any repository."""

    pool: str
    endpoints: list[str]
    unreported: list[str]
    common: list[str]
    conflicts: list[VersionConflict]
    excluded: list[str]
    target: int | None
    availability: list[Availability] = field(default_factory=list)


def analyse(*, pool: Pool) -> Analysis:
    """Compare the repositories that the pool's endpoints reported. Raises FeatureDisabled, ComparisonTooLong."""
    if not settings.ENABLE_REPOSITORY_ANALYSIS:
        raise FeatureDisabled("Repository analysis is switched off (ENABLE_REPOSITORY_ANALYSIS).")
    groups = _groups(pool)
    offers = _offers(groups)
    names = set().union(*offers.values()) if offers else set()
    reporting = sorted(name for digests in offers for name in groups[digests])
    target = states.load(pool.target.state) if pool.target else []
    return Analysis(
        pool=pool.name,
        endpoints=reporting,
        unreported=sorted(groups.get((), [])),
        common=sorted(set.intersection(*(set(offer) for offer in offers.values()))) if offers else [],
        conflicts=_conflicts(offers, groups, names),
        excluded=sorted(difference.matching(names, pool.excluded_packages)),
        target=pool.target.number if pool.target else None,
        availability=_availability(offers, groups, target) if pool.target else [],
    )


Digests = tuple[str, ...]


def _groups(pool: Pool) -> dict[Digests, list[str]]:
    """The names of the pool's endpoints, by the contents of their repositories in pacman's order."""
    contents: dict[str, list[str]] = {name: [] for name in pool.endpoints.values_list("name", flat=True)}
    rows = EndpointRepository.objects.filter(endpoint__pool=pool).order_by("endpoint", "position")
    for name, digest in rows.values_list("endpoint__name", "content_id"):
        contents[name].append(digest)
    groups: dict[Digests, list[str]] = {}
    for name, digests in contents.items():
        groups.setdefault(tuple(digests), []).append(name)
    return groups


def _offers(groups: Iterable[Digests]) -> dict[Digests, Offer]:
    """What pacman would install of each name: the version in the first repository that has it."""
    digests = {digest for key in groups for digest in key}
    known = {digest: repositories.versions(digest) for digest in bounded(digests, every=1)}
    offers: dict[Digests, Offer] = {}
    for key in bounded(groups, every=1):
        offer: dict[str, str] = {}
        for digest in reversed(key):
            offer.update(known[digest])
        if key:
            offers[key] = offer
    return offers


def _conflicts(
    offers: Mapping[Digests, Offer], groups: Mapping[Digests, list[str]], names: Iterable[str]
) -> list[VersionConflict]:
    found = []
    for name in bounded(sorted(names), every=16):
        versions: dict[str, list[str]] = {}
        for digests, offer in offers.items():
            if name in offer:
                versions.setdefault(offer[name], []).extend(groups[digests])
        if len(versions) > 1:
            found.append(VersionConflict(name=name, versions={v: sorted(e) for v, e in sorted(versions.items())}))
    return found


def _availability(
    offers: Mapping[Digests, Offer], groups: Mapping[Digests, list[str]], target: list[InstalledPackage]
) -> list[Availability]:
    found = []
    for digests, offer in bounded(offers.items(), every=1):
        other = [package.name for package in target if offer.get(package.name, package.version) != package.version]
        missing = [package.name for package in target if package.name not in offer]
        exact = len(target) - len(other) - len(missing)
        found += [Availability(endpoint=name, exact=exact, other=other, missing=missing) for name in groups[digests]]
    return sorted(found, key=lambda one: one.endpoint)
