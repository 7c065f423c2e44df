"""The derived status of endpoints: never asserted by a client. It must not know operations.

docs/fleet.md has the table of the rules. What the packages say is compared once for each case
(`apps.fleet.status_cases`); questions about the whole fleet are for the database (`apps.fleet.fleet_statuses`).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from django.conf import settings

from . import clock, difference, examination, status_cases
from .bounded_cache import BoundedCache
from .difference import ChangeKind
from .models import Endpoint, Pool, TargetRevision
from .models.endpoints import OFFLINE_AFTER_POLLS
from .status_cases import Case, Counts


class EndpointStatus(StrEnum):
    OFFLINE = "offline"
    UNKNOWN = "unknown"
    IN_SYNC = "in_sync"
    BEHIND = "behind"
    AHEAD = "ahead"
    DIVERGED = "diverged"


# What of an endpoint its status is derived from: a query that leaves out others may be given to `of` and its kind.
FIELDS = ("pool_id", "state_id", "arch", "holds", "foreign", "examination", "last_seen")
_known_of_reporting: BoundedCache[str, EndpointStatus] = BoundedCache(16_384)


def forget() -> None:
    """For tests: derive everything again."""
    status_cases.forget()
    _known_of_reporting.clear()


Differences = Mapping[str, int]
"""How many changes of each kind would bring an endpoint to its goal."""


def of(endpoints: Iterable[Endpoint]) -> dict[int, EndpointStatus]:
    """The status of each endpoint by its primary key, at the database's current time."""
    endpoints = list(endpoints)
    offline = _offline(endpoints)
    return offline | by_packages(endpoint for endpoint in endpoints if endpoint.pk not in offline)


def of_with_differences(
    endpoints: Iterable[Endpoint],
) -> tuple[dict[int, EndpointStatus], dict[int, Differences]]:
    """What `of` and `differences` return, with one comparison."""
    endpoints = list(endpoints)
    statuses, counts = by_packages_with_differences(endpoints)
    return statuses | _offline(endpoints), counts


def _offline(endpoints: list[Endpoint]) -> dict[int, EndpointStatus]:
    now = clock.now()
    return {endpoint.pk: EndpointStatus.OFFLINE for endpoint in endpoints if is_offline(endpoint.last_seen, now)}


def of_one(endpoint: Endpoint) -> EndpointStatus:
    """The status of one endpoint."""
    return of([endpoint])[endpoint.pk]


def offline_after() -> timedelta:
    """How long an endpoint may be silent: 3 poll intervals."""
    return timedelta(seconds=OFFLINE_AFTER_POLLS * settings.POLL_SECONDS)


def is_offline(last_seen: datetime | None, now: datetime) -> bool:
    """Whether an endpoint seen then is offline at `now` (the database's). Never seen is offline."""
    return last_seen is None or now - last_seen > offline_after()


def by_packages(endpoints: Iterable[Endpoint]) -> dict[int, EndpointStatus]:
    """The status of each endpoint as if all were online."""
    endpoints = list(endpoints)
    cases = _cases(endpoints)
    return _statuses(endpoints, cases, status_cases.counted({case for case in cases.values() if not case.is_exact}))


def by_packages_with_differences(
    endpoints: Iterable[Endpoint],
) -> tuple[dict[int, EndpointStatus], dict[int, Differences]]:
    """What `by_packages` and `differences` return, with one comparison."""
    endpoints = list(endpoints)
    cases = _cases(endpoints)
    counted = status_cases.counted(set(cases.values()))
    return _statuses(endpoints, cases, counted), _differences(cases, counted)


def _statuses(
    endpoints: list[Endpoint], cases: Mapping[int, Case], counted: Mapping[Case, Counts | None]
) -> dict[int, EndpointStatus]:
    found = dict.fromkeys((endpoint.pk for endpoint in endpoints), EndpointStatus.UNKNOWN)
    for pk, case in cases.items():
        if case.is_exact:
            found[pk] = EndpointStatus.IN_SYNC
        elif (kinds := counted[case]) is not None:
            found[pk] = of_kinds(kinds)
    return found


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


def _reporting_key(endpoint: Endpoint, pool: Pool, target: TargetRevision) -> str:
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
    return status_cases.digest((*own, *theirs, settings.STATE_MAX_PACKAGES))


def differences(endpoints: Iterable[Endpoint]) -> dict[int, Differences]:
    """How many changes of each kind would bring each endpoint to its goal.

    Without those that have no goal, and those that weren't compared (too large, or no time was left): `unknown`.
    """
    cases = _cases(list(endpoints))
    return _differences(cases, status_cases.counted(set(cases.values())))


def _differences(cases: Mapping[int, Case], counted: Mapping[Case, Counts | None]) -> dict[int, Differences]:
    found = {pk: counted[case] for pk, case in cases.items()}
    return {pk: difference.count_kinds(kinds) for pk, kinds in found.items() if kinds is not None}


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


def _cases(endpoints: list[Endpoint]) -> Mapping[int, Case]:
    """The case of each endpoint that can be compared, by its primary key."""
    goals = status_cases.goals({endpoint.pool_id for endpoint in endpoints if endpoint.pool_id})
    found: dict[int, Case] = {}
    for endpoint in endpoints:
        case = status_cases.of(endpoint, goals)
        if case and (case.is_exact or (case.fits and not examination.databases_unreadable(endpoint))):
            found[endpoint.pk] = case
    return found
