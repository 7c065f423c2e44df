"""The derived status of endpoints: never stored, never asserted by a client. It must not know operations.

docs/fleet.md has the table of the rules. For lists: a few queries for each 200 distinct pairs of states. A state never
changes, so what was derived of two states is remembered: a fleet asks for the same pairs in every poll.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from django.conf import settings
from django.db.models import F

from . import clock, difference, examination, revisions, states
from .alpm.names import machine_arch
from .alpm.state import InstalledPackage
from .bounded_cache import BoundedCache
from .difference import Change, ChangeKind, KeptPackages
from .exceptions import ComparisonTooLong
from .models import Endpoint, Pool, TargetRevision
from .models.endpoints import OFFLINE_AFTER_POLLS
from .revisions import Offered

logger = logging.getLogger(__name__)

_PAIRS_AT_ONCE = 200
Counts = Mapping[ChangeKind, int]


class EndpointStatus(StrEnum):
    OFFLINE = "offline"
    UNKNOWN = "unknown"
    IN_SYNC = "in_sync"
    BEHIND = "behind"
    AHEAD = "ahead"
    DIVERGED = "diverged"


class _Case(NamedTuple):
    """All that the packages' part of a status depends on: endpoints with equal cases share the answer.

    `limit` is STATE_MAX_PACKAGES, so that a higher one counts at once. `recorded` lists the digests of the repositories
    of the target's source, `unmanaged` the names that the target leaves alone; both are one object for each pool.
    """

    state: str
    target: str
    holds: tuple[str, ...]
    foreign: tuple[str, ...]
    excluded: tuple[str, ...]
    limit: int
    recorded: tuple[str, ...]
    unmanaged: frozenset[str]


class _Target(NamedTuple):
    """A pool's part of the cases of its endpoints."""

    state: str | None
    arch: str
    excluded: tuple[str, ...]
    recorded: tuple[str, ...]
    unmanaged: frozenset[str]


# What of an endpoint its status is derived from: a query that leaves out others may be given to `of` and its kind.
FIELDS = ("pool_id", "state_id", "arch", "holds", "foreign", "examination", "last_seen")
# How many changes of each kind there are in a case; None for states that are too large to be compared.
# As many as a fleet of 10,000 endpoints has, each in a state of its own: some 400 bytes each.
_known_counts: BoundedCache[bytes, Counts | None] = BoundedCache(16_384)


_known_of_reporting: BoundedCache[bytes, EndpointStatus] = BoundedCache(16_384)


def forget() -> None:
    """For tests: compare everything again."""
    _known_counts.clear()
    _known_of_reporting.clear()


def of(endpoints: Iterable[Endpoint]) -> dict[int, EndpointStatus]:
    """The status of each endpoint by its primary key, at the database's current time."""
    endpoints = list(endpoints)
    now = clock.now()
    statuses = {endpoint.pk: EndpointStatus.OFFLINE for endpoint in endpoints if is_offline(endpoint.last_seen, now)}
    statuses.update(by_packages(endpoint for endpoint in endpoints if endpoint.pk not in statuses))
    return statuses


def of_one(endpoint: Endpoint) -> EndpointStatus:
    """The status of one endpoint."""
    return of([endpoint])[endpoint.pk]


def counts() -> dict[EndpointStatus, int]:
    """How many endpoints have each status, including statuses with no endpoint."""
    now, pools = clock.now(), _pools(set(Pool.objects.values_list("pk", flat=True)))
    found = dict.fromkeys(EndpointStatus, 0)
    cases: Counter[_Case] = Counter()
    rows = Endpoint.objects.only(*FIELDS)
    for endpoint in rows.iterator(chunk_size=2000):
        case = _case(endpoint, pools)
        if is_offline(endpoint.last_seen, now):
            found[EndpointStatus.OFFLINE] += 1
        elif case is None:
            found[EndpointStatus.UNKNOWN] += 1
        else:
            cases[case] += 1
    for case, status in _classified(set(cases)).items():
        found[status] += cases[case]
    return found


def offline_after() -> timedelta:
    """How long an endpoint may be silent: 3 poll intervals."""
    return timedelta(seconds=OFFLINE_AFTER_POLLS * settings.POLL_SECONDS)


def is_offline(last_seen: datetime | None, now: datetime) -> bool:
    """Whether an endpoint seen then is offline at `now` (the database's). Never seen is offline."""
    return last_seen is None or now - last_seen > offline_after()


def by_packages(endpoints: Iterable[Endpoint]) -> dict[int, EndpointStatus]:
    """The status of each endpoint as if all were online."""
    endpoints = list(endpoints)
    pools = _pools({endpoint.pool_id for endpoint in endpoints if endpoint.pool_id})
    cases = {endpoint.pk: _case(endpoint, pools) for endpoint in endpoints}
    known = _classified({case for case in cases.values() if case})
    return {pk: known[case] if case else EndpointStatus.UNKNOWN for pk, case in cases.items()}


def of_reporting(endpoint: Endpoint) -> EndpointStatus:
    """The same of one endpoint that was read with its pool and target.

    No query in exactly the target state, nor if this process has compared an equal endpoint with this target before.
    """
    pool = endpoint.pool
    if pool is None or pool.target is None or endpoint.state_id is None:
        return EndpointStatus.UNKNOWN
    if pool.target.state_id == endpoint.state_id:
        return EndpointStatus.IN_SYNC
    key = _reporting_key(endpoint, pool, pool.target)
    if known := _known_of_reporting.among([key]):
        return known[key]
    found = by_packages([endpoint])[endpoint.pk]
    if found != EndpointStatus.UNKNOWN:  # which it may be only because this request had no time left
        _known_of_reporting[key] = found
    return found


def _reporting_key(endpoint: Endpoint, pool: Pool, target: TargetRevision) -> bytes:
    """All that the status of a reporting endpoint depends on, from what is read at each check-in.

    A revision never changes. With its time, in case a database is restored and gives its primary key again.
    """
    own = (
        endpoint.state_id,
        endpoint.arch,
        endpoint.holds,
        endpoint.foreign,
        examination.databases_unreadable(endpoint),
    )
    theirs = (target.pk, target.created, target.state_id, pool.excluded_packages)
    return _digest((*own, *theirs, settings.STATE_MAX_PACKAGES))


def differences(endpoints: Iterable[Endpoint]) -> dict[int, dict[str, int]]:
    """How many changes of each kind would bring each endpoint to its goal.

    Without those that have no goal, and those that weren't compared (too large, or no time was left): `unknown`.
    """
    endpoints = list(endpoints)
    pools = _pools({endpoint.pool_id for endpoint in endpoints if endpoint.pool_id})
    cases = {endpoint.pk: case for endpoint in endpoints if (case := _case(endpoint, pools))}
    known = _counted(set(cases.values()))
    counted = {pk: known[case] for pk, case in cases.items()}
    return {pk: difference.count_kinds(kinds) for pk, kinds in counted.items() if kinds is not None}


def of_kinds(kinds: Iterable[ChangeKind]) -> EndpointStatus:
    """The status of an endpoint that changes of these kinds would bring to its goal."""
    kinds = set(kinds)
    if not kinds:
        return EndpointStatus.IN_SYNC
    for here, there in ((ChangeKind.UPGRADE, ChangeKind.DOWNGRADE), (ChangeKind.INSTALL, ChangeKind.REMOVE)):
        if here in kinds or there in kinds:  # version differences decide; without any, missing and extra packages
            if here in kinds and there in kinds:
                return EndpointStatus.DIVERGED
            return EndpointStatus.BEHIND if here in kinds else EndpointStatus.AHEAD
    return EndpointStatus.DIVERGED


def _pools(keys: set[int]) -> dict[int, _Target]:
    """The target of each pool, with its excluded patterns."""
    found: dict[int, _Target] = {}
    for chunk in states.chunks(sorted(keys)):
        for pool in Pool.objects.filter(pk__in=chunk).select_related("target").annotate(arch=F("target__state__arch")):
            target = pool.target
            found[pool.pk] = _Target(
                state=target.state_id if target else None,
                arch=pool.arch or "",
                excluded=tuple(pool.excluded_packages),
                recorded=tuple(repository["digest"] for repository in target.repositories) if target else (),
                unmanaged=revisions.unmanaged_names(target) if target else frozenset(),
            )
    return found


def _case(endpoint: Endpoint, pools: Mapping[int, _Target]) -> _Case | None:
    target = pools.get(endpoint.pool_id or 0)
    if endpoint.state_id is None or target is None or target.state is None:
        return None
    if endpoint.state_id != target.state and (
        target.arch not in (machine_arch(endpoint.arch), "any") or examination.databases_unreadable(endpoint)
    ):
        return None
    return _Case(
        state=endpoint.state_id,
        target=target.state,
        holds=tuple(endpoint.holds),
        foreign=tuple(endpoint.foreign),
        excluded=target.excluded,
        limit=settings.STATE_MAX_PACKAGES,
        recorded=target.recorded,
        unmanaged=target.unmanaged,
    )


def _classified(cases: set[_Case]) -> dict[_Case, EndpointStatus]:
    """The status of each case. An endpoint in exactly the target state needs no comparison."""
    known = {case: EndpointStatus.IN_SYNC for case in cases if case.state == case.target}
    for case, counts in _counted(cases - known.keys()).items():
        known[case] = EndpointStatus.UNKNOWN if counts is None else of_kinds(counts)
    return known


def _counted(cases: set[_Case]) -> dict[_Case, Counts | None]:
    """The changes of each case by kind, without the kinds that have none.

    Those that are too large, or that this request has no time left for, have None.
    """
    keys = {case: _key(case) for case in cases}
    known = _known_counts.among(keys.values())
    found = {case: known[key] for case, key in keys.items() if key in known}
    rest = iter(sorted(cases - found.keys(), key=lambda case: (case.recorded, case.state, case.target)))
    try:
        while chunk := list(islice(rest, _PAIRS_AT_ONCE)):
            pairs = _differing({(case.state, case.target) for case in chunk}, settings.STATE_MAX_PACKAGES)
            for case in chunk:
                sides = pairs[case.state, case.target]
                found[case] = Counter(change.kind for change in _changes(case, *sides)) if sides else None
                _known_counts[keys[case]] = found[case]
    except ComparisonTooLong:
        logger.warning("no time was left to compare %d of %d pairs of states", len(cases - found.keys()), len(cases))
    return {case: found.get(case) for case in cases}


def _key(case: _Case) -> bytes:
    """A short key: an endpoint can have thousands of foreign packages, and they would all be kept with the counts."""
    return _digest((*case[:-1], sorted(case.unmanaged)))


def _digest(parts: tuple[object, ...]) -> bytes:
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


Side = list[InstalledPackage]


def _changes(case: _Case, installed: Side, target: Side) -> Iterator[Change]:
    """The changes of a case, from only the packages in which state and target differ."""
    managed, offered = {package.name for package in target}, Offered(case.recorded)
    foreign = [name for name in case.foreign if name not in managed and name not in offered]
    kept = KeptPackages(held=case.holds, foreign=foreign, excluded=case.excluded, unmanaged=case.unmanaged)
    return (change for change in difference.compare(installed, target) if not kept.why(change.name))


def _differing(pairs: set[tuple[str, str]], limit: int) -> dict[tuple[str, str], tuple[Side, Side] | None]:
    """For each pair of states, the packages that only one of the two has; None with a state of more than `limit`."""
    packed = states.packed({digest for pair in pairs for digest in pair})
    small = {pair for pair in pairs if max(len(packed[pair[0]]), len(packed[pair[1]])) <= limit}
    apart = {pair: (packed[pair[0]] - packed[pair[1]], packed[pair[1]] - packed[pair[0]]) for pair in small}
    values = states.load_values(set().union(*(one | two for one, two in apart.values())))
    found: dict[tuple[str, str], tuple[Side, Side] | None] = dict.fromkeys(pairs)
    for pair, (one, two) in apart.items():
        found[pair] = ([values[value] for value in one], [values[value] for value in two])
    return found
