"""Running an operation again: a new one of the same kind, a sync to the current target, a revert to the same state.

It must not know HTTP, nor leases.
"""

from django.db import transaction

from . import as_shown, audit, goals, retrying, sync_coordinator
from .exceptions import AlreadyInSync, NothingToRevert, OperationActive
from .goals import Goal
from .models import Endpoint, Operation, OperationKind
from .models.operations import ACTIVE


def goal(operation: Operation) -> Goal:
    """What it would do now. Wants the endpoint with its pool's target and its state.

    Raises what `run_again` raises, except for IdempotencyKeyReused.
    """
    _check_ended(operation)
    active = Operation.objects.filter(endpoint=operation.endpoint_id).active().exclude(pk=operation.pk).first()
    if not retrying.gives_way(active):
        raise OperationActive(f"An operation of {operation.endpoint.name} is under way.")
    found = _goal_of(operation, operation.endpoint)
    if not found.changes:
        raise AlreadyInSync(f"{operation.endpoint.name} is there already: nothing would change.")
    return found


def run_again(
    *, operation: Operation, actor: str, idempotency_key: str | None = None, shown: str | None = None
) -> tuple[Operation, bool]:
    """Queue the new one; (operation, False) when this key made it before. `shown`: `as_shown.key` of the goal that was.

    One that waits for its next try makes way for it. Raises OperationActive (this one hasn't ended, or another one of
    the endpoint), NothingToRevert (the sync that it took back isn't kept any more, or a newer one has to be taken back
    first), TargetChanged (to another target than was shown), and what `sync_coordinator.create_operation` raises.
    """
    with transaction.atomic():
        made, new = sync_coordinator.create_operation(
            endpoint=operation.endpoint,
            kind=operation.kind,
            actor=actor,
            idempotency_key=idempotency_key,
            goal_of=as_shown.goal_of(lambda endpoint: _checked_goal(operation, endpoint), shown),
        )
        if new:
            after = {"operation": str(made.pk)}
            audit.record(actor=actor, verb="run_again", object=audit.name_of(operation), after=after)
    return made, new


def _checked_goal(operation: Operation, endpoint: Endpoint) -> Goal:
    """With the endpoint's row locked: by now it has ended, or made way."""
    operation.refresh_from_db(fields=["status", "retries"])
    _check_ended(operation)
    return _goal_of(operation, endpoint)


def _check_ended(operation: Operation) -> None:
    if operation.status in ACTIVE and not retrying.gives_way(operation):
        raise OperationActive(
            f"The operation is {operation.status}: only one that has ended, or waits for its next try, is run again."
        )


def _goal_of(operation: Operation, endpoint: Endpoint) -> Goal:
    if operation.kind == OperationKind.SYNC:
        return goals.sync_goal(endpoint)
    if operation.reverts is None:
        raise NothingToRevert("The sync that it took back is not kept any more, so where it led isn't known.")
    return goals.revert_goal_of(endpoint, operation.reverts)
