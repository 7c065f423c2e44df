"""How an operation ends: judged by the state that its endpoint is in, not by what anybody says.

It must not know HTTP. Transitions are guarded UPDATEs, and the endpoint's row is locked by the caller.
"""

from typing import Any

from django.db.models import Q
from django.db.models.functions import Now

from . import audit, difference, states
from .models import Endpoint, Operation, OperationStatus, State
from .models.operations import MAX_ATTEMPTS

# So many changes of a difference are kept with a result; the counts are always whole.
_CHANGES_KEPT = 100


def end(
    operation: Operation,
    *,
    status: OperationStatus,
    actor: str,
    result: dict[str, Any],
    lost: bool = False,
    **fields: Any,
) -> bool:
    """Move the operation from the status it was read in to a final one; whether this caller won the race.

    `lost` means: only if its lease hasn't been extended in the meantime.
    """
    before = operation.status
    guard = Q(pk=operation.pk, status=before, lease_token=operation.lease_token)
    if lost:
        guard &= Q(lease_until__lt=Now()) | Q(lease_until__isnull=True)
    rows = Operation.objects.filter(guard).update(
        status=status, finished=Now(), result=result, lease_token=None, lease_until=None, retry_at=None, **fields
    )
    if rows:
        audit.record(
            actor=actor,
            verb=status.value,
            object=audit.name_of(operation),
            before={"status": before},
            after={"status": status.value, "code": result.get("code", "")},
        )
        operation.refresh_from_db()
    return bool(rows)


def queue_again(operation: Operation, *, actor: str = audit.SERVER) -> bool:
    """Give a lost operation to the next claim; whether this caller won the race."""
    before = operation.status
    guard = Q(pk=operation.pk, status=before, lease_token=operation.lease_token)
    rows = Operation.objects.filter(guard, lease_until__lt=Now(), attempt__lt=MAX_ATTEMPTS).update(
        status=OperationStatus.QUEUED, lease_token=None, lease_until=None, applying_since=None
    )
    if rows:
        audit.record(
            actor=actor,
            verb="requeue",
            object=audit.name_of(operation),
            before={"status": before},
            after={"status": OperationStatus.QUEUED.value, "attempt": operation.attempt},
        )
        operation.refresh_from_db()
    return bool(rows)


def judge_lost(endpoint: Endpoint, state: str) -> None:
    """Decide an operation of this endpoint whose lease ran out while applying, by the state it has now reported."""
    lost = Operation.objects.filter(endpoint=endpoint, status=OperationStatus.APPLYING).lease_expired().first()
    if lost is None:
        return
    message = "The agent was lost while it was applying; its next report decided."
    if state == lost.target_state_id:
        result = server_result("succeeded", "judged_by_report", message)
        end(lost, status=OperationStatus.SUCCEEDED, actor=audit.SERVER, result=result, lost=True, end_state=state)
    elif state == lost.base_state_id and lost.attempt < MAX_ATTEMPTS:
        queue_again(lost)
    else:
        code = "lost_applying" if state == lost.base_state_id else "state_differs"
        result = server_result("failed", code, message) | {"difference": difference_to(lost, state)}
        end(lost, status=OperationStatus.FAILED, actor=audit.SERVER, result=result, lost=True, end_state=state)


def server_result(outcome: str, code: str, message: str) -> dict[str, Any]:
    """A result that no agent sent."""
    return {"outcome": outcome, "code": code, "message": message, "log_tail": ""}


def difference_to(operation: Operation, state: str) -> dict[str, Any]:
    """What would still have to change from `state` to the operation's target."""
    reached, target = State.objects.get(pk=state), operation.target_state
    changes = difference.compare(states.load(reached), states.load(target))
    return {"counts": difference.counts(changes), "changes": difference.as_json(changes[:_CHANGES_KEPT])}
