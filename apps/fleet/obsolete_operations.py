"""Queued operations that became obsolete before an agent claimed them. It must not know why a policy queues any."""

from collections.abc import Callable

from django.db.models import Q, QuerySet

from . import audit, operation_results, queued_syncs, transitions
from .models import Endpoint, Operation, OperationKind, Pool, TargetRevision

TARGET_CHANGED, TOKEN_REVOKED, SYNC_PAUSED = "target_changed", "token_revoked", "sync_paused"
"""Codes in the result of an operation that was cancelled by it."""
PAUSED = "Automatic sync of the pool is paused: an endpoint has seen a target revision that isn't here."
CHANGED = "The pool now has another target."
REVOKED = "The endpoint's token was revoked."


def cancel_automatic(pool: Pool, *, code: str, message: str, spared: TargetRevision | None = None) -> int:
    """Cancel what the policy of the pool has queued, except for syncs to the revision `spared`. Returns how many."""
    queued = Operation.objects.filter(Q(endpoint__pool=pool), author__startswith=audit.POLICY)
    return _cancel(queued.exclude(revision=spared) if spared else queued, code, message)


def cancel_of_revoked(endpoint: Endpoint) -> None:
    """Cancel what is queued for an endpoint that can't ask for it any more."""
    _cancel(Operation.objects.filter(endpoint=endpoint), TOKEN_REVOKED, REVOKED)


def _cancel(operations: QuerySet[Operation], code: str, message: str) -> int:
    result = operation_results.server_result("cancelled", code, message)
    return transitions.cancel_queued(operations, result=result)


def cancel_reason(
    operation: Operation,
    destination_of: Callable[[Operation], queued_syncs.SyncDestination | None] = queued_syncs.destination,
) -> tuple[str, str] | None:
    """(code, message) when a pool's policy made the operation, and wouldn't make it now, or when its pool went back
    from where it leads to. One query at most. `destination_of` is that of `queued_syncs.cancel_reason`.
    """
    if not operation.author.startswith(audit.POLICY):
        return queued_syncs.cancel_reason(operation, destination_of)
    pool = Pool.objects.filter(pk=operation.endpoint.pool_id or 0).values_list("paused_since", "target").first()
    paused, target = pool or (None, None)
    if paused is not None:
        return SYNC_PAUSED, PAUSED
    if operation.kind == OperationKind.SYNC and target != operation.revision_id:
        return TARGET_CHANGED, CHANGED
    return None
