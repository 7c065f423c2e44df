"""Queued syncs that lead to another revision than the target of their pool, and what becomes of them when it changes.

Going back cancels them, even those that people asked for: a machine that is switched on later would install what the
pool just left. When a pool gets any other target, what people queued stays. It must not know HTTP or why a policy
queues anything.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from django.db.models import Q, QuerySet

from . import audit, operation_results, states, transitions
from .models import Operation, OperationKind, OperationStatus, Pool, TargetRevision

WENT_BACK = "pool_went_back"
"""The code in the result of a sync that was cancelled by it."""
# No agent has had this try: it was never claimed, or its last try has ended and left the machine as it was.
UNBEGUN = Q(status=OperationStatus.QUEUED, attempt=0)
_BY_POLICY = Q(author__startswith=audit.POLICY)


@dataclass(frozen=True, kw_only=True)
class AffectedSyncs:
    """Names of endpoints, sorted: those whose queued sync going back `cancelled`, and those whose sync is `staying`."""

    cancelled: list[str]
    staying: list[str]


class SyncDestination(NamedTuple):
    """Where a sync goes, and where its pool is now: numbers of revisions; `back_to` if the pool went back to it."""

    number: int
    target: int | None
    back_to: int | None


def is_back(pool: Pool, *, revision: int | None, of_pool: int | None) -> bool:
    """Whether this revision (its key, and that of its pool) is an earlier target of `pool`."""
    return of_pool == pool.pk and revision != pool.target_id


def cancelled_with(pool: Pool) -> QuerySet[Operation]:
    """The queued syncs that going back cancels. What the policy has queued is cancelled with any new target."""
    return _elsewhere(pool, None).filter(UNBEGUN | _BY_POLICY)


def affected(pool: Pool, *, revision: int | None, of_pool: int | None) -> AffectedSyncs:
    """What is queued for another revision than this one, as the target of `pool`; None: one that isn't there yet."""
    found = _elsewhere(pool, pool.target_id if revision == pool.target_id else None)
    back = is_back(pool, revision=revision, of_pool=of_pool)
    ends = cancelled_with(pool) if back else found.none()
    stays = found.exclude(_BY_POLICY | UNBEGUN) if back else found.exclude(_BY_POLICY)
    return AffectedSyncs(cancelled=_names(ends), staying=_names(stays))


def cancel_affected(pool: Pool, *, target: TargetRevision, number: int, actor: str) -> None:
    """Cancel what leads to another revision than `target`, which says what revision `number` says.

    The caller has locked the pool's row.
    """
    queued = _elsewhere(pool, target.pk).filter(UNBEGUN).order_by("retries", "pk")
    found = queued.select_for_update().values_list("retries", "pk")
    for tried, group in groupby(found, key=lambda one: one[0] > 0):
        when = "its next try" if tried else "it began"
        message = f"The pool went back to target #{number} before {when}."
        result = operation_results.server_result("cancelled", WENT_BACK, message)
        for keys in states.chunks([pk for _, pk in group], 2):
            transitions.cancel_queued(Operation.objects.filter(pk__in=keys), result=result)
            audit.record_many(
                actor=actor,
                verb=OperationStatus.CANCELLED.value,
                objects=[f"operation:{key}" for key in keys],
                before={"status": OperationStatus.QUEUED.value},
                after={"status": OperationStatus.CANCELLED.value, "code": WENT_BACK},
            )


def destination(operation: Operation) -> SyncDestination | None:
    """For a sync to another revision than the target of its pool; else None. One query."""
    if operation.kind != OperationKind.SYNC or operation.revision_id is None:
        return None
    columns = ("number", "pool__target", "pool__target__number", "pool__target__copied_number")
    rows = TargetRevision.objects.filter(pk=operation.revision_id)
    found = rows.values_list(*columns, "pool__target__promoted_from").first()
    if found is None or found[1] == operation.revision_id:
        return None
    number, _, target, copied, promoted_from = found
    return SyncDestination(number, target, None if promoted_from else copied)


def cancel_reason(
    operation: Operation, destination_of: Callable[[Operation], SyncDestination | None] = destination
) -> tuple[str, str] | None:
    """(code, message) when it was queued at the moment when its pool went back, for what was left.

    One query; a caller that knows the destination already gives it with `destination_of`, and saves the query.
    """
    if operation.attempt:
        return None
    found = destination_of(operation)
    if found is None or found.back_to is None or found.number <= found.back_to:
        return None
    return WENT_BACK, f"The pool went back to target #{found.back_to} before it began."


def _elsewhere(pool: Pool, spared: int | None) -> QuerySet[Operation]:
    """Queued syncs to revisions of the pool; not to the one with this key."""
    revisions = TargetRevision.objects.filter(pool=pool)
    if spared is not None:
        revisions = revisions.exclude(pk=spared)
    return Operation.objects.filter(status=OperationStatus.QUEUED, kind=OperationKind.SYNC, revision__in=revisions)


def _names(operations: QuerySet[Operation]) -> list[str]:
    names: Iterable[str] = operations.values_list("endpoint__name", flat=True)
    return sorted(names)
