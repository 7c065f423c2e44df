"""What happened to an endpoint, newest first: states, operations, targets of its pool, changes by people, silence.

Only the times of silence are written for it (`apps.fleet.endpoint_presence`); all else is read from where it is kept,
while it is kept there. It must not know HTTP or how an event is shown.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any

from django.db.models import QuerySet

from . import audit, clock, difference, states, status, time_limit
from .difference import Change
from .models import AuditEvent, Endpoint, EndpointState, OfflinePeriod, Operation, State, TargetRevision

# The events of each kind that are looked at: the newest.
MAX_EVENTS = 500
# What people do with an endpoint, and what it does on its own, is in the audit under these verbs.
_VERBS = (
    "enroll",
    "reenroll",
    "approve",
    "assign",
    "change_rights",
    "rotate_token",
    "revoke_token",
    "token_shared",
    "resume_sync",
    "roll_back",
)


class TimelineKind(StrEnum):
    STATE = "state"
    OPERATION = "operation"
    FINISHED = "finished"
    TARGET = "target"
    AUDIT = "audit"
    OFFLINE = "offline"
    BACK = "back"


@dataclass(frozen=True, kw_only=True)
class Event:
    """`what` is the row that it is about: an EndpointState, Operation, TargetRevision, AuditEvent or OfflinePeriod.

    It is None for an endpoint that is offline now, which has no row yet. `before` is the digest of the state before
    that of an EndpointState, if it is known.
    """

    at: datetime
    kind: TimelineKind
    what: Any = None
    before: str | None = None


def of(endpoint: Endpoint, since: datetime | None = None) -> list[Event]:
    """The events since then, newest first; of each kind the newest MAX_EVENTS at most. `endpoint` with its pool."""
    events = [
        *_states(endpoint, since),
        *_operations(endpoint, since),
        *_targets(endpoint, since),
        *_changes(endpoint, since),
        *_silence(endpoint, since),
    ]
    return sorted(events, key=lambda event: event.at, reverse=True)


def _states(endpoint: Endpoint, since: datetime | None) -> Iterator[Event]:
    rows = endpoint.history.select_related("state").defer("state__packages").order_by("-seq")[: MAX_EVENTS + 1]
    for entry, before in with_previous(rows):
        if since is None or entry.at >= since:
            yield Event(at=entry.at, kind=TimelineKind.STATE, what=entry, before=before.state_id if before else None)


def with_previous(entries: Iterable[EndpointState]) -> Iterator[tuple[EndpointState, EndpointState | None]]:
    """Entries of a history, newest first, each with the one before it; None for the oldest."""
    yield from pairwise([*entries, None])


def _operations(endpoint: Endpoint, since: datetime | None) -> Iterator[Event]:
    rows = Operation.objects.with_names().filter(endpoint=endpoint).defer("result", "foreign")
    for operation in rows.order_by("-created", "pk")[:MAX_EVENTS]:
        if since is None or operation.created >= since:
            yield Event(at=operation.created, kind=TimelineKind.OPERATION, what=operation)
        if operation.finished and (since is None or operation.finished >= since):
            yield Event(at=operation.finished, kind=TimelineKind.FINISHED, what=operation)


def _targets(endpoint: Endpoint, since: datetime | None) -> Iterator[Event]:
    """The targets of its current pool, from when it was put there."""
    if endpoint.pool_id is None:
        return
    moved = _audit(endpoint).filter(verb="assign").values_list("at", flat=True).first()
    start = max(moment for moment in (endpoint.created, moved, since) if moment)
    rows = TargetRevision.objects.filter(pool=endpoint.pool_id, created__gte=start).select_related("pool")
    for revision in rows.defer("unmanaged", "repositories").order_by("-number")[:MAX_EVENTS]:
        yield Event(at=revision.created, kind=TimelineKind.TARGET, what=revision)


def _changes(endpoint: Endpoint, since: datetime | None) -> Iterator[Event]:
    rows = _audit(endpoint).filter(verb__in=_VERBS)
    if since is not None:
        rows = rows.filter(at__gte=since)
    return (Event(at=event.at, kind=TimelineKind.AUDIT, what=event) for event in rows[:MAX_EVENTS])


def _audit(endpoint: Endpoint) -> "QuerySet[AuditEvent]":
    """What the audit has of it; an endpoint that had its name before is another one."""
    found = AuditEvent.objects.filter(object=audit.name_of(endpoint), at__gte=endpoint.created)
    return found.order_by("-at", "-pk")


def _silence(endpoint: Endpoint, since: datetime | None) -> Iterator[Event]:
    for period in OfflinePeriod.objects.filter(endpoint=endpoint).order_by("-until")[:MAX_EVENTS]:
        if since is None or period.since >= since:
            yield Event(at=period.since, kind=TimelineKind.OFFLINE, what=period)
        if since is None or period.until >= since:
            yield Event(at=period.until, kind=TimelineKind.BACK, what=period)
    seen = endpoint.last_seen
    if seen and status.is_offline(seen, clock.now()) and (since is None or seen >= since):
        yield Event(at=seen, kind=TimelineKind.OFFLINE)


Pair = tuple[str, str]


def changes_between(pairs: Sequence[Pair]) -> dict[Pair, list[Change]]:
    """What leads from one state to another, for each pair of digests of which both are kept.

    Only the packages in which two states differ are read. Raises ComparisonTooLong.
    """
    packed: dict[str, frozenset[int]] = {}
    for chunk in states.chunks(sorted({digest for pair in pairs for digest in pair})):
        for digest, packages in State.objects.filter(pk__in=chunk).values_list("pk", "packages"):
            time_limit.check()
            packed[digest] = frozenset(states.unpack(packages))
    known = [(one, two) for one, two in pairs if one in packed and two in packed]
    values = states.load_values(set().union(*(packed[one] ^ packed[two] for one, two in known)))
    return {
        (one, two): difference.compare(
            [values[value] for value in packed[one] - packed[two]],
            [values[value] for value in packed[two] - packed[one]],
        )
        for one, two in known
    }
