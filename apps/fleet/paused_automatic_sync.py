"""Where automatic sync rests: an endpoint whose sync failed, was cancelled or was reverted isn't synced to the same
target automatically again, until somebody resumes it. It must not know leases or HTTP.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from . import audit, obsolete_operations, queued_syncs, retries, row_locks
from .models import Endpoint, Operation, OperationKind, OperationStatus
from .models.operations import REACHED

REVERTED = "reverted"
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
_NOT_RESUMED = Q(endpoint__sync_resumed__isnull=True) | Q(finished__gt=F("endpoint__sync_resumed"))


@dataclass(frozen=True, kw_only=True)
class Resting:
    """Why automatic sync leaves an endpoint alone since that operation: `failed`, `cancelled`, `lost`, `reverted`."""

    why: str
    operation: UUID
    since: datetime
    code: str


def of(endpoints: Iterable[int] | None = None) -> dict[int, Resting]:
    """Where it rests, by the endpoint's primary key, of these endpoints or of all. Two queries.

    Whether there would be anything to sync isn't asked, nor whether something else is in the way (an active operation,
    a pool whose automatic sync is paused).
    """
    keys = None if endpoints is None else list(endpoints)
    resting: dict[int, Resting] = {}
    # One after the other: with OR, PostgreSQL would read every operation instead of those to the current targets.
    for endpoint, kind, status, pk, finished, code in [*_ended(_GIVEN_UP, keys), *_ended(_TAKEN_BACK, keys)]:
        known = resting.get(endpoint)
        if known and known.since > finished:
            continue
        if kind == OperationKind.REVERT or code not in _NO_REASON:
            why = REVERTED if kind == OperationKind.REVERT else status
            resting[endpoint] = Resting(why=why, operation=pk, since=finished, code=code or "")
    return resting


def _ended(how: Q, endpoints: list[int] | None) -> QuerySet[Operation, Any]:
    found = Operation.objects.filter(how, _NOT_RESUMED, endpoint__pool__auto_sync=True, finished__isnull=False)
    if endpoints is not None:
        found = found.filter(endpoint__in=endpoints)
    fields = ("endpoint", "kind", "status", "pk", "finished", "result__code")
    return found.order_by("finished").values_list(*fields)


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
