"""Questions about one package in the whole fleet: which versions there are, and which endpoints have which.

The words are the same for pages, API and command: `older_than`, `newer_than` and `version` are compared in pacman's
order, `missing` asks for the endpoints without the package, `pool` narrows. An endpoint that never reported isn't
counted.
Each answer is of one moment, whatever is written in the meantime. It must not know HTTP or how the index is kept.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cmp_to_key
from typing import NamedTuple

from django.db.models import Case, IntegerField, QuerySet, When

from . import package_holders
from .alpm import names
from .alpm.version import vercmp
from .consistent_read import consistent_read
from .exceptions import Invalid, NotFound
from .key_lists import IsAmong
from .models import Endpoint, PackageVersion, Pool
from .package_holders import Within

UNASSIGNED = "-"
"""As a pool's name: the endpoints that are in no pool."""
MAX_LENGTH = names.MAX_NAME


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which endpoints are asked for. Without a bound: those that have the package, in any version."""

    older_than: str | None = None
    newer_than: str | None = None
    version: str | None = None
    missing: bool = False
    pool: str | None = None

    def check(self) -> None:
        """Raise Invalid for a text that can't be a version, and for a version of a package that is `missing`."""
        for word in ("older_than", "newer_than", "version"):
            text = getattr(self, word)
            if text is not None and not (0 < len(text) <= MAX_LENGTH and text.isprintable() and " " not in text):
                raise Invalid(f"{word} is not a version: give one like 3.0-1 or 1:2.4, without spaces.", field=word)
        if self.missing and (self.older_than, self.newer_than, self.version) != (None, None, None):
            raise Invalid(
                "An endpoint without the package has no version of it: ask for missing or for versions, not for both.",
                field="missing",
            )

    def takes(self, version: str) -> bool:
        """Whether an endpoint with this version is asked for."""
        return not (
            (self.older_than is not None and vercmp(version, self.older_than) >= 0)
            or (self.newer_than is not None and vercmp(version, self.newer_than) <= 0)
            or (self.version is not None and vercmp(version, self.version) != 0)
        )


class EndpointVersion(NamedTuple):
    """One endpoint of an answer; `pool` and `version` are None for one that is in no pool, or without the package."""

    name: str
    pool: str | None
    version: str | None


@dataclass(frozen=True, kw_only=True)
class VersionShare:
    """One version in the fleet: how many endpoints have it, in which pools (by name), and how many are in no pool."""

    version: str
    endpoints: int
    pools: dict[str, int]
    unassigned: int


@dataclass(frozen=True, kw_only=True)
class FleetVersions:
    """A package in the fleet: its versions, newest first; `endpoints` have it, `missing` have reported without it."""

    name: str
    versions: list[VersionShare] = field(default_factory=list)
    endpoints: int
    missing: int
    unreported: int


@consistent_read()
def in_fleet(name: str) -> FleetVersions:
    """The versions of the package that endpoints have now. Raises NotFound (no pkgname), ComparisonTooLong."""
    check_name(name)
    known = package_holders.versions_of(name)
    counted: dict[str, dict[int | None, int]] = defaultdict(lambda: defaultdict(int))
    missing = 0
    for share in package_holders.shares(known, Within()):
        if share.version is None:
            missing += share.endpoints
        else:
            counted[known[share.version][0]][share.pool] += share.endpoints
    pools = _pool_names({pool for by_pool in counted.values() for pool in by_pool if pool is not None})
    versions = [_share(version, counted[version], pools) for version in newest_first(counted)]
    return FleetVersions(
        name=name,
        versions=versions,
        endpoints=sum(one.endpoints for one in versions),
        missing=missing,
        unreported=Endpoint.objects.filter(state=None).count(),
    )


def _share(version: str, by_pool: Mapping[int | None, int], pools: Mapping[int, str]) -> VersionShare:
    # A pool that was deleted while we looked has no name any more: its endpoints are in none.
    named = {pools[pool]: count for pool, count in by_pool.items() if pool is not None and pool in pools}
    total = sum(by_pool.values())
    return VersionShare(
        version=version, endpoints=total, pools=dict(sorted(named.items())), unassigned=total - sum(named.values())
    )


@consistent_read()
def endpoints(name: str, question: Question, *, after: str = "") -> list[EndpointVersion]:
    """Who the question is about, by name, after the name `after`. Raises Invalid, NotFound, ComparisonTooLong."""
    check_name(name)
    question.check()
    within = _within(question, after)
    known = package_holders.versions_of(name)
    asked = [key for key, (version, _) in known.items() if question.missing or question.takes(version)]
    if within is None or not (asked or question.missing):
        return []
    found = package_holders.holders(asked, within)
    pools = _pool_names({holder.pool for holder in found if holder.pool is not None})
    words = {key: version for key, (version, _) in known.items()}
    return [EndpointVersion(name, pools.get(pool or 0), words.get(version or 0)) for _, name, pool, version in found]


@consistent_read()
def having(rows: "QuerySet[Endpoint]", name: str) -> "QuerySet[Endpoint]":
    """Those of `rows` that have the package, in any version: for lists that are filtered by it. Two queries."""
    return rows.filter(IsAmong(package_holders.having(package_holders.versions_of(name))))


def search(text: str) -> "QuerySet[PackageVersion, str]":
    """The pkgnames with `text` in them that any state has or lately had; the one that is it first, then by name."""
    exactly = Case(When(name=text, then=0), When(name__startswith=text, then=1), default=2, output_field=IntegerField())
    found = PackageVersion.objects.filter(name__icontains=text).annotate(rank=exactly)
    return found.order_by("rank", "name").values_list("name", flat=True).distinct()


def newest_first(versions: Iterable[str]) -> list[str]:
    """In pacman's order, the newest first; versions that are equal in it by their text."""
    return sorted(sorted(versions), key=cmp_to_key(vercmp), reverse=True)


def check_name(name: str) -> None:
    """Raise NotFound for what can be no package's name."""
    try:
        names.check_name(name)
    except ValueError:
        raise NotFound("There is no package with such a name: it has letters, digits and @._+- in it.") from None


def _within(question: Question, after: str) -> Within | None:
    """None for a pool that isn't there."""
    having = not question.missing
    if question.pool is None or question.pool == UNASSIGNED:
        return Within(unassigned=question.pool is not None, after=after, having=having)
    key = Pool.objects.filter(name=question.pool.replace("\0", "")).values_list("pk", flat=True).first()
    return None if key is None else Within(pool=key, after=after, having=having)


def _pool_names(keys: Iterable[int]) -> dict[int, str]:
    return dict(Pool.objects.filter(pk__in=list(keys)).values_list("pk", "name"))
