"""The transitions of an operation, all of them. It must not know HTTP or when one is due.

    from              to                 by                 made by, and only if
    ----------------  -----------------  -----------------  ----------------------------------------------------------
    (new)             queued             queueing.queue     a request or a pool's policy; nothing else is active there
    queued, leased    leased             lease              an agent's claim; no live lease, before the deadline, after
                                                            the pause of a retry, fewer than MAX_ATTEMPTS leases so far
    leased            applying           begin_applying     the heartbeat of the agent that holds the live lease
    leased, applying  queued             queue_again        the chore, or the endpoint's next report; the lease ran out
    leased, applying  queued             queue_for_retry    a failure that will pass; before the deadline
    leased, applying  succeeded, failed  end                the agent's result; or the chore, or the endpoint's next
                                                            report, if the lease ran out
    queued, leased    cancelled          end                a person, or a claim of what nobody needs any more
    queued            cancelled          cancel_queued      a new target, a pause, a revoked token; many at once
    active            lost               end                the chore; past the deadline, without a live lease

Each is a guarded UPDATE: `WHERE status = …` names what the caller saw, and a caller that changes 0 rows lost the race.
None of them takes a lock. Time is the database's clock. `succeeded`, `failed`, `cancelled` and `lost` are final.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from django.db.models import Expression, F, Q, QuerySet
from django.db.models.functions import Now

from . import audit
from .models import Operation, OperationStatus
from .models.operations import MAX_ATTEMPTS

# The columns of an operation that no agent has.
_NO_LEASE: Mapping[str, Any] = {"lease_token": None, "lease_until": None}
_LEASE_RAN_OUT = Q(lease_until__lt=Now())


def lease(operation: Operation, *, lease_token: uuid.UUID, until: Expression) -> bool:
    """Give the operation to the agent with this token, until then; whether this caller won the race."""
    free = Operation.objects.claimable().filter(pk=operation.pk, attempt=operation.attempt)
    rows = free.update(
        status=OperationStatus.LEASED,
        lease_token=lease_token,
        lease_until=until,
        attempt=F("attempt") + 1,
        retry_at=None,
        progress=None,
    )
    return bool(rows)


def begin_applying(held: QuerySet[Operation], **fields: Any) -> bool:
    """Note that pacman is started, with further columns; False if it was noted before.

    `held` selects the operation under the agent's live lease.
    """
    leased = held.filter(status=OperationStatus.LEASED)
    return bool(leased.update(status=OperationStatus.APPLYING, applying_since=Now(), **fields))


def queue_again(operation: Operation, *, actor: str = audit.SERVER) -> bool:
    """Give an operation whose agent was lost to the next claim; whether this caller won the race."""
    rows = _as_seen(operation).filter(_LEASE_RAN_OUT, attempt__lt=MAX_ATTEMPTS)
    if not rows.update(status=OperationStatus.QUEUED, applying_since=None, **_NO_LEASE):
        return False
    _record(operation, actor=actor, verb="requeue", after={"attempt": operation.attempt})
    return True


def queue_for_retry(
    operation: Operation,
    *,
    retry_at: Expression,
    result: dict[str, Any],
    actor: str,
    only_if_lost: bool,
    **fields: Any,
) -> bool:
    """Queue a failed operation for another try at `retry_at`, with further columns; whether this caller won the race.

    `only_if_lost`: only while its lease hasn't been extended.
    """
    rows = _as_seen(operation).filter(deadline__gt=retry_at)
    if only_if_lost:
        rows = rows.filter(_LEASE_RAN_OUT)
    changed = rows.update(
        status=OperationStatus.QUEUED,
        applying_since=None,
        attempt=0,
        retries=F("retries") + 1,
        retry_at=retry_at,
        result=result,
        **_NO_LEASE,
        **fields,
    )
    if not changed:
        return False
    _record(operation, actor=actor, verb="requeue", after={"code": result["code"]}, with_retry=True)
    return True


def end(
    operation: Operation,
    *,
    status: OperationStatus,
    actor: str,
    result: dict[str, Any],
    only_if_lost: bool = False,
    **fields: Any,
) -> bool:
    """Move the operation to a final status, with further columns; whether this caller won the race.

    `only_if_lost`: only if it has no lease, or one that hasn't been extended.
    """
    rows = _as_seen(operation)
    if only_if_lost:
        rows = rows.filter(_LEASE_RAN_OUT | Q(lease_until__isnull=True))
    if not rows.update(status=status, finished=Now(), result=result, retry_at=None, **_NO_LEASE, **fields):
        return False
    _record(operation, actor=actor, verb=status.value, after={"code": result.get("code", "")})
    return True


def cancel_queued(operations: QuerySet[Operation], *, result: dict[str, Any]) -> int:
    """Cancel those of these operations that are still queued. Returns how many. The caller writes the audit."""
    queued = operations.filter(status=OperationStatus.QUEUED)
    return queued.update(status=OperationStatus.CANCELLED, finished=Now(), result=result, retry_at=None)


def _as_seen(operation: Operation) -> QuerySet[Operation]:
    """The row if it has the status and the lease that the caller saw."""
    return Operation.objects.filter(pk=operation.pk, status=operation.status, lease_token=operation.lease_token)


def _record(operation: Operation, *, actor: str, verb: str, after: dict[str, Any], with_retry: bool = False) -> None:
    """Write the audit of a transition, and read the operation again."""
    before = operation.status
    operation.refresh_from_db()
    after = {"status": operation.status, **after}
    if with_retry and operation.retry_at:
        after["retry_at"] = operation.retry_at.isoformat(timespec="seconds")
    audit.record(actor=actor, verb=verb, object=audit.name_of(operation), before={"status": before}, after=after)
