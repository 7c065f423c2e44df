"""Leases: how long they last, and what becomes of operations whose lease ran out. It must not know HTTP.

Which leases are live or ran out is asked with the query methods of `Operation`.
"""

from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.db.models import Expression, Q, QuerySet
from django.db.models.functions import Now

from . import audit, clock, operation_results, retries, transitions
from .models import Endpoint, Operation, OperationStatus
from .models.operations import CLAIMED, MAX_ATTEMPTS

LEASE_SECONDS = 120
# Operations that one run of the chore deals with; the next run goes on.
_BATCH = 500
# A lease that ran out longer ago should have been dealt with: then no instance runs the chore.
_OVERDUE = timedelta(minutes=10)
_OVERDUE_COUNTED = 1000


def until() -> Expression:
    """When a lease that is given now runs out, on the database's clock."""
    return clock.moved(timedelta(seconds=LEASE_SECONDS))


def expire_leases() -> int:
    """Queue again (after MAX_ATTEMPTS only for later) what was leased and lost; end as lost what is past its deadline.

    Returns how many rows changed. Safe to run in several places at once; meant for the chore that holds the lock.
    What was lost while applying waits for the endpoint's next report (`decide_by_report`), until its deadline.
    """
    overdue = Operation.objects.filter(deadline__lt=Now()).filter(
        Q(status=OperationStatus.QUEUED) | Q(status__in=CLAIMED, lease_until__lt=Now())
    )
    lost = Operation.objects.lease_expired().filter(status=OperationStatus.LEASED)
    changed = _each(overdue, _give_up)
    changed += _each(lost.filter(attempt__gte=MAX_ATTEMPTS), _fail)
    return changed + _each(lost, transitions.queue_again)


def _each(operations: QuerySet[Operation], step: Callable[[Operation], bool]) -> int:
    """Take a batch of these operations through `step`, except rows that others hold. Returns how many changed."""
    with transaction.atomic():
        batch = list(operations.order_by("pk").select_for_update(skip_locked=True)[:_BATCH])
        return sum(step(operation) for operation in batch)


def _give_up(operation: Operation) -> bool:
    message = "No result came before the deadline: the agent was stopped, or can't reach this server."
    result = operation_results.server_result("lost", "deadline_passed", message)
    return _end(operation, OperationStatus.LOST, result)


def _fail(operation: Operation) -> bool:
    message = f"The agent was lost {operation.attempt} times before it began."
    result = operation_results.server_result("failed", "attempts_exhausted", message)
    later = retries.queue_later(operation, result, actor=audit.SERVER)
    return later or _end(operation, OperationStatus.FAILED, result)


def _end(operation: Operation, status: OperationStatus, result: dict[str, object], **fields: object) -> bool:
    return transitions.end(operation, status=status, actor=audit.SERVER, result=result, only_if_lost=True, **fields)


def decide_by_report(endpoint: Endpoint, state: str) -> None:
    """Decide an operation of this endpoint whose lease ran out while applying, by the state that it now reported."""
    lost = Operation.objects.filter(endpoint=endpoint, status=OperationStatus.APPLYING).lease_expired().first()
    if lost is None:
        return
    message = "The agent was lost while it was applying; its next report decided."
    if state == lost.target_state_id:
        result = operation_results.server_result("succeeded", "judged_by_report", message)
        _end(lost, OperationStatus.SUCCEEDED, result, end_state=state)
    elif state == lost.base_state_id and lost.attempt < MAX_ATTEMPTS:
        transitions.queue_again(lost)
    else:
        code = "lost_applying" if state == lost.base_state_id else "state_differs"
        result = operation_results.server_result("failed", code, message)
        result["difference"] = operation_results.difference_to(lost, state)
        _end(lost, OperationStatus.FAILED, result, end_state=state)


def overdue_leases() -> int:
    """How many leases ran out over 10 minutes ago and were never dealt with; counts to 1,000 at most."""
    overdue = Operation.objects.filter(status=OperationStatus.LEASED, lease_until__lt=clock.moved(-_OVERDUE))
    return len(overdue.values_list("pk", flat=True)[:_OVERDUE_COUNTED])
