"""Leases: how long they last, which are live, and what becomes of those that ran out. It must not know HTTP."""

from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.db.models import Expression, Q, QuerySet
from django.db.models.functions import Now

from . import audit, clock, judgement, retrying
from .models import Operation, OperationStatus
from .models.operations import LEASED, MAX_ATTEMPTS

LEASE_SECONDS = 120
# So many overdue operations are dealt with in one run of the chore; the next run goes on.
_BATCH = 500
# Leases that ran out so long ago should have been dealt with: then no instance runs the chore.
_OVERDUE = timedelta(minutes=10)

# Its holder may go on. While applying no other agent can take it, so running out of time doesn't end it.
LIVE = Q(status=OperationStatus.APPLYING) | Q(status=OperationStatus.LEASED, lease_until__gte=Now())
# Anybody may take it.
EXPIRED = Q(status=OperationStatus.LEASED, lease_until__lt=Now())


def until() -> Expression:
    """When a lease that is given now runs out, on the database's clock."""
    return clock.moved(timedelta(seconds=LEASE_SECONDS))


def expire_leases() -> int:
    """Queue again (after MAX_ATTEMPTS only for later) what was leased and lost, mark lost what is past its deadline.

    Returns how many rows changed. Safe to run in several places at once; meant for the chore that holds the lock.
    What was lost while applying waits for the endpoint's next report, until its deadline.
    """
    overdue = Operation.objects.filter(deadline__lt=Now()).filter(
        Q(status=OperationStatus.QUEUED) | Q(status__in=LEASED, lease_until__lt=Now())
    )
    changed = _each(overdue, _give_up)
    changed += _each(Operation.objects.filter(EXPIRED, attempt__gte=MAX_ATTEMPTS), _fail)
    return changed + _each(Operation.objects.filter(EXPIRED), judgement.queue_again)


def _each(operations: QuerySet[Operation], step: Callable[[Operation], bool]) -> int:
    """Take a batch of these operations through `step`; how many it changed. Rows that others hold are left to them."""
    with transaction.atomic():
        batch = list(operations.order_by("pk").select_for_update(skip_locked=True)[:_BATCH])
        return sum(step(operation) for operation in batch)


def _give_up(operation: Operation) -> bool:
    result = judgement.server_result(
        "lost",
        "deadline_passed",
        "No result came before the deadline: the agent was stopped, or can't reach this server.",
    )
    return judgement.end(operation, status=OperationStatus.LOST, actor=audit.SERVER, result=result, lost=True)


def _fail(operation: Operation) -> bool:
    message = f"The agent was lost {operation.attempt} times before it began."
    result = judgement.server_result("failed", "attempts_exhausted", message)
    return retrying.queue_later(operation, result, actor=audit.SERVER) or judgement.end(
        operation, status=OperationStatus.FAILED, actor=audit.SERVER, result=result, lost=True
    )


def overdue_leases() -> int:
    """How many leases ran out over 10 minutes ago without anybody dealing with it; counts to 1,000 at most."""
    overdue = Operation.objects.filter(status=OperationStatus.LEASED, lease_until__lt=clock.moved(-_OVERDUE))
    return len(overdue.values_list("pk", flat=True)[:1000])
