"""Where automatic sync rests: an endpoint whose sync failed, was cancelled, reverted or rolled back isn't synced to the
same target automatically again, until somebody resumes it. It must not know leases or HTTP.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import CharField, Expression, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Now

from . import audit, obsolete_operations, queued_syncs, retries, row_locks
from .models import Endpoint, EndpointState, Operation, OperationKind, OperationStatus
from .models.operations import REACHED

REVERTED = "reverted"
ROLLED_BACK = "rolled_back"
# Codes of operations that ended before the endpoint tried them: those may be tried again.
_UNTRIED = {
    "base_changed",
    retries.ASKED_AGAIN,
    queued_syncs.WENT_BACK,
    obsolete_operations.SYNC_PAUSED,
    obsolete_operations.TARGET_CHANGED,
    obsolete_operations.TOKEN_REVOKED,
}
# Nor is a failure that says nothing of target and machine.
_NO_REASON = retries.CODES | _UNTRIED
# A sync from this very state to this very revision that was tried, and failed or was cancelled.
_GIVEN_UP = Q(
    kind=OperationKind.SYNC,
    base_state=F("endpoint__state"),
    revision=F("endpoint__pool__target"),
    status__in=(OperationStatus.FAILED, OperationStatus.CANCELLED, OperationStatus.LOST),
)
# Somebody reverted the very sync that would be queued: that is a decision, until a new target comes.
_TAKEN_BACK = REACHED & Q(
    kind=OperationKind.REVERT,
    reverts__isnull=False,  # said for PostgreSQL, which then reads only reverts
    target_state=F("endpoint__state"),
    reverts__revision=F("endpoint__pool__target"),
)
# The machine is in the state before its last sync, and no operation brought it there: a snapshot was restored.
_ROLLED_BACK = Q(
    kind=OperationKind.SYNC,
    base_state=F("endpoint__state"),
    revision=F("endpoint__pool__target"),
)
_NOT_RESUMED = Q(endpoint__sync_resumed__isnull=True) | Q(finished__gt=F("endpoint__sync_resumed"))


@dataclass(frozen=True, kw_only=True)
class Resting:
    """Why automatic sync leaves an endpoint alone after that operation, and since when.

    `why` is `failed`, `cancelled`, `lost`, `reverted` or `rolled_back`; since a rollback was reported for the last one.
    """

    why: str
    operation: UUID
    since: datetime
    code: str


def of(endpoints: Iterable[int] | None = None) -> dict[int, Resting]:
    """Where it rests, by the endpoint's primary key, of these endpoints or of all. One query.

    Whether there would be anything to sync isn't asked, nor whether something else is in the way (an active operation,
    a pool whose automatic sync is paused).
    """
    keys = None if endpoints is None else list(endpoints)
    every = Operation.objects.all()
    resting: dict[int, Resting] = {}
    # A union: with OR, PostgreSQL would read every operation instead of those to the current targets.
    given_up = _ended(every.filter(_GIVEN_UP), keys, why=Cast("status", CharField()))
    taken_back = _ended(every.filter(_TAKEN_BACK), keys, why=Value(REVERTED, CharField()))
    newest = EndpointState.objects.filter(endpoint=OuterRef("endpoint")).order_by("-seq").values("at")[:1]
    rolled_back = _ended(
        every.newest_reached().filter(_ROLLED_BACK),
        keys,
        why=Value(ROLLED_BACK, CharField()),
        since=Subquery(newest),
    )
    for endpoint, why, pk, since, code in given_up.union(taken_back, rolled_back, all=True):
        known = resting.get(endpoint)
        if known and known.since > since:
            continue
        if why in (REVERTED, ROLLED_BACK) or code not in _NO_REASON:
            resting[endpoint] = Resting(why=why, operation=pk, since=since, code=code or "")
    return resting


def _ended(
    operations: QuerySet[Operation],
    endpoints: list[int] | None,
    *,
    why: Expression,
    since: Subquery | None = None,
) -> QuerySet[Operation, Any]:
    """(endpoint, why, operation, since, code) of these, where automatic sync has not been resumed after them."""
    found = operations.filter(_NOT_RESUMED, endpoint__pool__auto_sync=True, finished__isnull=False)
    if endpoints is not None:
        found = found.filter(endpoint__in=endpoints)
    return found.annotate(why=why, since=since or F("finished")).values_list(
        "endpoint", "why", "pk", "since", "result__code"
    )


def of_one(endpoint: Endpoint) -> Resting | None:
    """Why automatic sync leaves this endpoint alone; None when it doesn't."""
    return of([endpoint.pk]).get(endpoint.pk)


def resume(*, endpoint: Endpoint, actor: str) -> bool:
    """Let automatic sync try again at the next check-in; False when it wasn't resting. Raises NotFound."""
    with transaction.atomic():
        locked = row_locks.lock_endpoint(endpoint)
        resting = of_one(locked)
        if resting is None:
            return False
        Endpoint.objects.filter(pk=locked.pk).update(sync_resumed=Now())
        before = {"why": resting.why, "operation": str(resting.operation)}
        audit.record(actor=actor, verb="resume_sync", object=audit.name_of(locked), before=before)
    return True


def notice_rollback(endpoint: Endpoint) -> None:
    """Write down that a report says so: it changed the state of `endpoint`, which is read with its pool. One query."""
    found = Operation.objects.newest_reached().filter(_ROLLED_BACK, endpoint=endpoint).first()
    if found is not None:
        before = {"operation": str(found.pk), "state": found.target_state_id}
        after = {"state": endpoint.state_id}
        name = audit.name_of(endpoint)
        audit.record(actor=name, verb="roll_back", object=name, before=before, after=after)
