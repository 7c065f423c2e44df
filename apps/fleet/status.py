"""The derived status of endpoints: never stored, never asserted by a client. It must not know operations.

docs/fleet.md has the table of the rules. For lists: a few queries for each 200 distinct pairs of states.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import NamedTuple, TypeVar

from django.conf import settings
from django.db.models import F

from . import clock, difference, states
from .alpm.state import InstalledPackage
from .difference import Change, ChangeKind, Kept
from .models import Endpoint, Pool, State
from .models.endpoints import OFFLINE_AFTER_POLLS

_PAIRS_AT_ONCE = 200
T = TypeVar("T")


class Status(StrEnum):
    OFFLINE = "offline"
    UNKNOWN = "unknown"
    IN_SYNC = "in_sync"
    BEHIND = "behind"
    AHEAD = "ahead"
    DIVERGED = "diverged"


class _Case(NamedTuple):
    """All that the packages' part of a status depends on: endpoints with equal cases share the answer."""

    state: str
    target: str
    holds: tuple[str, ...]
    foreign: tuple[str, ...]
    excluded: tuple[str, ...]


def of(endpoints: Iterable[Endpoint]) -> dict[int, Status]:
    """The status of each endpoint by its primary key, at the database's present time."""
    endpoints = list(endpoints)
    now = clock.now()
    statuses = {endpoint.pk: Status.OFFLINE for endpoint in endpoints if is_offline(endpoint.last_seen, now)}
    statuses.update(by_packages(endpoint for endpoint in endpoints if endpoint.pk not in statuses))
    return statuses


def of_one(endpoint: Endpoint) -> Status:
    """The status of one endpoint."""
    return of([endpoint])[endpoint.pk]


def counts() -> dict[Status, int]:
    """How many endpoints have each status; every status is there, also with 0."""
    now, pools = clock.now(), _pools(set(Pool.objects.values_list("pk", flat=True)))
    found = dict.fromkeys(Status, 0)
    cases: Counter[_Case] = Counter()
    rows = Endpoint.objects.only("pool_id", "state_id", "holds", "foreign", "last_seen")
    for endpoint in rows.iterator(chunk_size=2000):
        case = _case(endpoint, pools)
        if is_offline(endpoint.last_seen, now):
            found[Status.OFFLINE] += 1
        elif case is None:
            found[Status.UNKNOWN] += 1
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


def by_packages(endpoints: Iterable[Endpoint]) -> dict[int, Status]:
    """The status of each endpoint as if all were online."""
    endpoints = list(endpoints)
    pools = _pools({endpoint.pool_id for endpoint in endpoints if endpoint.pool_id})
    cases = {endpoint.pk: _case(endpoint, pools) for endpoint in endpoints}
    known = _classified({case for case in cases.values() if case})
    return {pk: known[case] if case else Status.UNKNOWN for pk, case in cases.items()}


def differences(endpoints: Iterable[Endpoint]) -> dict[int, dict[str, int]]:
    """How many changes of each kind would bring each endpoint to its goal; without those that have no goal."""
    endpoints = list(endpoints)
    pools = _pools({endpoint.pool_id for endpoint in endpoints if endpoint.pool_id})
    cases = {endpoint.pk: case for endpoint in endpoints if (case := _case(endpoint, pools))}
    known = dict(_changed(set(cases.values()), difference.counts))
    return {pk: known[case] for pk, case in cases.items()}


def classify(changes: Iterable[Change]) -> Status:
    """The status of an endpoint that these changes would bring to its goal."""
    kinds = {change.kind for change in changes}
    if not kinds:
        return Status.IN_SYNC
    for here, there in ((ChangeKind.UPGRADE, ChangeKind.DOWNGRADE), (ChangeKind.INSTALL, ChangeKind.REMOVE)):
        if here in kinds or there in kinds:  # version differences decide; without any, missing and extra packages
            if here in kinds and there in kinds:
                return Status.DIVERGED
            return Status.BEHIND if here in kinds else Status.AHEAD
    return Status.DIVERGED


def _pools(keys: set[int]) -> dict[int, tuple[str | None, tuple[str, ...]]]:
    """Target state and excluded patterns of each pool."""
    found: dict[int, tuple[str | None, tuple[str, ...]]] = {}
    for chunk in states.chunks(sorted(keys)):
        rows = Pool.objects.filter(pk__in=chunk).annotate(target_state=F("target__state_id"))
        for pk, target, excluded in rows.values_list("pk", "target_state", "excluded_packages"):
            found[pk] = (target, tuple(excluded))
    return found


def _case(endpoint: Endpoint, pools: dict[int, tuple[str | None, tuple[str, ...]]]) -> _Case | None:
    target, excluded = pools.get(endpoint.pool_id or 0, (None, ()))
    if endpoint.state_id is None or target is None:
        return None
    return _Case(endpoint.state_id, target, tuple(endpoint.holds), tuple(endpoint.foreign), excluded)


def _classified(cases: set[_Case]) -> dict[_Case, Status]:
    """The status of each case. Who is exactly in the target state needs no look at packages."""
    known = {case: Status.IN_SYNC for case in cases if case.state == case.target}
    return known | dict(_changed(cases - known.keys(), classify))


def _changed(cases: set[_Case], said: Callable[[Iterator[Change]], T]) -> Iterator[tuple[_Case, T]]:
    """What `said` says of the changes of each case."""
    rest = iter(sorted(cases))
    while chunk := list(islice(rest, _PAIRS_AT_ONCE)):
        pairs = _differing({(case.state, case.target) for case in chunk})
        for case in chunk:
            yield case, said(_changes(case, *pairs[case.state, case.target]))


Side = list[InstalledPackage]


def _changes(case: _Case, installed: Side, target: Side) -> Iterator[Change]:
    """The changes of a case, from only the packages in which state and target differ."""
    managed = {package.name for package in target}
    foreign = [name for name in case.foreign if name not in managed]
    kept = Kept(held=case.holds, foreign=foreign, excluded=case.excluded)
    return (change for change in difference.compare(installed, target) if not kept.why(change.name))


def _differing(pairs: set[tuple[str, str]]) -> dict[tuple[str, str], tuple[Side, Side]]:
    """For each pair of states, the packages that only one of the two has."""
    packed = _packed({digest for pair in pairs for digest in pair})
    apart = {pair: (packed[pair[0]] - packed[pair[1]], packed[pair[1]] - packed[pair[0]]) for pair in pairs}
    values = states.load_values(set().union(*(one | two for one, two in apart.values())))
    return {pair: ([values[v] for v in one], [values[v] for v in two]) for pair, (one, two) in apart.items()}


def _packed(digests: set[str]) -> dict[str, frozenset[int]]:
    rows: dict[str, frozenset[int]] = {}
    for chunk in states.chunks(sorted(digests)):
        found = State.objects.filter(pk__in=chunk).values_list("pk", "packages")
        rows.update((pk, frozenset(states.unpack(packages))) for pk, packages in found)
    return rows
