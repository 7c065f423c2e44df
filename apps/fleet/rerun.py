"""Running an operation again: a new one of the same kind, a sync to the current target, a revert to the same state.

It must not know HTTP or leases.
"""

from django.db import transaction

from . import audit, expected_values, goals, retries, sync_coordinator
from .exceptions import AlreadyInSync, Invalid, NothingToRevert, OperationActive
from .goals import Goal
from .models import Endpoint, Operation, OperationKind


def goal(operation: Operation) -> Goal:
    """What it would do now. The operation is read with its endpoint, pool, target and state.

    Raises what `run_again` raises, except for IdempotencyKeyReused.
    """
    _check_ended(operation)
    active = Operation.objects.filter(endpoint=operation.endpoint_id).active().exclude(pk=operation.pk).first()
    if not retries.gives_way(active):
        raise OperationActive(f"An operation of {operation.endpoint.name} is under way.")
    found = _goal_of(operation, operation.endpoint)
    if not found.changes:
        raise AlreadyInSync(f"{operation.endpoint.name} is there already: nothing would change.")
    return found


def run_again(
    *, operation: Operation, actor: str, idempotency_key: str | None = None, expected: str | None = None
) -> tuple[Operation, bool]:
    """Queue the new one: (operation, True), or (operation, False) if this key made it before.

    `expected` is where the person saw that it would lead (`expected_values.value_of`). An operation that waits for its
    next try is cancelled for the new one. Raises OperationActive (this one hasn't ended, or another one of
    the endpoint), NothingToRevert (the sync that it reverted is no longer stored, or a newer one has to be reverted
    first), TargetChanged (to another target than was expected), and what `sync_coordinator.create_operation` raises
    (Invalid: a kind for which there is no rule here, too).
    """
    with transaction.atomic():
        made, new = sync_coordinator.create_operation(
            endpoint=operation.endpoint,
            kind=operation.kind,
            actor=actor,
            idempotency_key=idempotency_key,
            goal_of=expected_values.goal_of(lambda endpoint: _checked_goal(operation, endpoint), expected),
        )
        if new:
            after = {"operation": str(made.pk)}
            audit.record(actor=actor, verb="run_again", object=audit.name_of(operation), after=after)
    return made, new


def _checked_goal(operation: Operation, endpoint: Endpoint) -> Goal:
    """The goal, with the endpoint's row locked. The operation has ended by then, or was cancelled for the new one."""
    operation.refresh_from_db(fields=["status", "retries"])
    _check_ended(operation)
    return _goal_of(operation, endpoint)


def _check_ended(operation: Operation) -> None:
    if operation.is_active and not retries.gives_way(operation):
        raise OperationActive(
            f"The operation is {operation.status}: only one that has ended, or waits for its next try, is run again."
        )


def _goal_of(operation: Operation, endpoint: Endpoint) -> Goal:
    if operation.kind == OperationKind.SYNC:
        return goals.sync_goal(endpoint)
    if operation.kind != OperationKind.REVERT:
        raise Invalid(f"A {operation.kind} can't be run again.", field="kind")
    if operation.reverts is None:
        raise NothingToRevert("The sync that it reverted is no longer stored, so where it led isn't known.")
    return goals.revert_goal_of(endpoint, operation.reverts)
