"""The derived status of endpoints: never asserted by a client. It must not know operations.

docs/fleet.md has the table of the rules. What the packages say is compared once for each case
(`apps.fleet.status_cases`); questions about the whole fleet are for the database (`apps.fleet.fleet_statuses`).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from django.conf import settings

from . import clock, difference, examination, status_cases
from .difference import ChangeKind
from .models import Endpoint
from .models.endpoints import OFFLINE_AFTER_POLLS
from .status_cases import Case, Counts
from .time_share import TimeShare


class EndpointStatus(StrEnum):
    OFFLINE = "offline"
    UNKNOWN = "unknown"
    IN_SYNC = "in_sync"
    BEHIND = "behind"
    AHEAD = "ahead"
    DIVERGED = "diverged"


# What of an endpoint its status is derived from: a query that leaves out others may be given to `of` and its kind.
FIELDS = ("pool_id", "state_id", "arch", "holds", "foreign", "examination", "last_seen")
_STATUSES = frozenset(EndpointStatus)  # other verdicts say why it is unknown
# Check-ins of endpoints whose case the chore hasn't reached: some 50 comparisons, and then one or two a second.
_compared_in_check_ins = TimeShare(0.01, at_once=0.25)


def forget() -> None:
    """For tests: derive everything again."""
    status_cases.forget()
    _compared_in_check_ins.clear()


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
    """The same of one endpoint that was read with its pool and target, for the answer to its check-in.

    No statement in exactly the target state, nor if its case was known when it was read (`also_read`). After a new
    target for thousands of sets of packages it may be `unknown`, until its case is compared in the background.
    """
    pool = endpoint.pool
    if pool is None or pool.target is None or endpoint.state_id is None:
        return EndpointStatus.UNKNOWN
    if pool.target.state_id == endpoint.state_id:
        return EndpointStatus.IN_SYNC
    if examination.databases_unreadable(endpoint):
        return EndpointStatus.UNKNOWN
    read = endpoint.also_read
    if read is None:  # it has just reported something else
        return by_packages([endpoint])[endpoint.pk]
    if read.verdict is not None:
        return EndpointStatus(read.verdict) if read.verdict in _STATUSES else EndpointStatus.UNKNOWN
    if not _compared_in_check_ins.is_left():
        return EndpointStatus.UNKNOWN
    with _compared_in_check_ins.spending():
        return by_packages([endpoint])[endpoint.pk]


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
