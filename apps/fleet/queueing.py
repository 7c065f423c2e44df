"""Adding an operation to the queue: on request, or by a policy. It must not know leases or HTTP."""

from datetime import timedelta

from . import audit, automatic, clock, difference, row_locks, states
from .exceptions import AlreadyInSync
from .goals import Goal
from .models import Endpoint, Operation, OperationKind

DEADLINE = timedelta(hours=24)


def queue(endpoint: Endpoint, *, kind: str, goal: Goal, actor: str, idempotency_key: str | None = None) -> Operation:
    """Add the operation that leads to `goal`. The caller has locked the endpoint. Raises AlreadyInSync."""
    changes = goal.changes
    if not changes:
        raise AlreadyInSync(f"{endpoint.name} is in sync already: nothing would change.")
    target, _ = states.save(goal.packages)
    operation = Operation.objects.create(
        endpoint=endpoint,
        kind=kind,
        revision=goal.revision,
        reverts=goal.reverts,
        base_state=goal.base,
        target_state=target,
        plan=difference.counts(changes),
        foreign=goal.not_brought,
        idempotency_key=idempotency_key,
        author=actor[:200],
        deadline=clock.moved(DEADLINE),
    )
    after = {"endpoint": endpoint.name, "kind": kind, "plan": operation.plan}
    audit.record(actor=actor, verb="create", object=audit.name_of(operation), after=after)
    return row_locks.operation(operation.pk)


def queue_automatic(endpoint: Endpoint) -> None:
    """Queue the sync that the pool's policy wants now, if any. The caller has locked and read the endpoint."""
    goal = automatic.wanted(endpoint)
    if goal and endpoint.pool:
        queue(endpoint, kind=OperationKind.SYNC, goal=goal, actor=f"{audit.POLICY}{endpoint.pool.name}")
