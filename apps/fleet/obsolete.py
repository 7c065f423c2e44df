"""Operations that nobody needs any more before an agent has had them. It must not know why a policy makes any."""

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from . import audit, going_back, judgement
from .models import Endpoint, Operation, OperationKind, OperationStatus, Pool, TargetRevision

TARGET_CHANGED, TOKEN_REVOKED, SYNC_PAUSED = "target_changed", "token_revoked", "sync_paused"
"""Codes in the result of an operation that was cancelled by it."""
PAUSED = "Automatic sync of the pool is paused: an endpoint has seen a target revision that isn't here."
CHANGED = "The pool has another target by now."
REVOKED = "The endpoint's token was revoked."


def cancel_automatic(pool: Pool, *, code: str, message: str, besides: TargetRevision | None = None) -> int:
    """Cancel what the policy of the pool has queued, except for syncs to the revision `besides`; how many."""
    queued = Operation.objects.filter(Q(endpoint__pool=pool), author__startswith=audit.POLICY)
    return _cancel(queued.exclude(revision=besides) if besides else queued, code, message)


def cancel_of_revoked(endpoint: Endpoint) -> int:
    """Cancel what is queued for an endpoint that can't ask for it any more; how many."""
    return _cancel(Operation.objects.filter(endpoint=endpoint), TOKEN_REVOKED, REVOKED)


def _cancel(operations: QuerySet[Operation], code: str, message: str) -> int:
    result = judgement.server_result("cancelled", code, message)
    queued = operations.filter(status=OperationStatus.QUEUED)
    return queued.update(status=OperationStatus.CANCELLED, finished=Now(), result=result, retry_at=None)


def why(operation: Operation) -> tuple[str, str] | None:
    """(code, message) when a pool's policy made the operation, and wouldn't make it now, or when its pool went back
    from where it leads to. One query at most.
    """
    if not operation.author.startswith(audit.POLICY):
        return going_back.why(operation)
    pool = Pool.objects.filter(pk=operation.endpoint.pool_id or 0).values_list("paused_since", "target").first()
    paused, target = pool or (None, None)
    if paused is not None:
        return SYNC_PAUSED, PAUSED
    if operation.kind == OperationKind.SYNC and target != operation.revision_id:
        return TARGET_CHANGED, CHANGED
    return None
