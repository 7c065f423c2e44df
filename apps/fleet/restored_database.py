"""Keeps a server whose database was restored from a backup from turning its fleet back. It must not know HTTP.

Agents say which target revision they saw last. One that isn't here, or has another digest here, was lost: automatic
sync of the pool is paused until an operator confirms, and numbers that anybody has seen are never given again.
"""

import logging
from dataclasses import dataclass

from django.db import transaction
from django.db.models.functions import Now

from . import audit, obsolete_operations, revisions, row_locks, targets
from .models import Endpoint, Pool, TargetRevision

logger = logging.getLogger(__name__)

# A number is believed only up to this far ahead of ours: no backup is that old, and numbers must not run out.
MAX_AHEAD = 1_000_000


@dataclass(frozen=True, kw_only=True)
class SeenRevision:
    """The last target revision that an agent saw, by number and digest."""

    number: int
    digest: str


def notice(endpoint: Endpoint, seen: SeenRevision | None) -> None:
    """Compare what the endpoint has seen with what is here; pause the pool's automatic sync if it was lost.

    `endpoint` was just read, with pool and target. No query where it has seen the current target, as nearly always.
    """
    pool = endpoint.pool
    if seen is None or pool is None:
        return
    if _is_here(pool, seen):
        if endpoint.pool_changed:
            Endpoint.objects.filter(pk=endpoint.pk, pool=pool).update(pool_changed=False)
            endpoint.pool_changed = False
    elif not endpoint.pool_changed and _is_news(pool, seen):
        _pause(pool, endpoint, seen)


def _is_here(pool: Pool, seen: SeenRevision) -> bool:
    if pool.target and pool.target.number == seen.number:
        return revisions.digest(pool.target) == seen.digest
    found = TargetRevision.objects.filter(pool=pool, number=seen.number).first()
    return found is not None and revisions.digest(found) == seen.digest


def _is_news(pool: Pool, seen: SeenRevision) -> bool:
    """Whether the pool is neither paused for this revision already, nor was it confirmed without it."""
    if seen.number <= pool.lost_through:
        return False
    return pool.paused_since is None or _believed(pool, seen) > pool.highest_number


def _believed(pool: Pool, seen: SeenRevision) -> int:
    return min(seen.number, (pool.target.number if pool.target else 0) + MAX_AHEAD)


def _pause(pool: Pool, endpoint: Endpoint, seen: SeenRevision) -> None:
    with transaction.atomic():
        (pool,) = row_locks.lock_pools(pool)
        if _is_here(pool, seen) or not _is_news(pool, seen):
            return
        highest = max(pool.highest_number, _believed(pool, seen))
        found = {
            "endpoint": endpoint.name,
            "number": seen.number,
            "digest": seen.digest,
            "present": revisions.identity(pool.target) if pool.target else None,
        }
        Pool.objects.filter(pk=pool.pk).update(highest_number=highest)
        if not Pool.objects.filter(pk=pool.pk, paused_since=None).update(paused_since=Now(), paused_by=found):
            return
        cancelled = obsolete_operations.cancel_automatic(
            pool, code=obsolete_operations.SYNC_PAUSED, message=obsolete_operations.PAUSED
        )
        after = {**found, "cancelled": cancelled}
        audit.record(actor=audit.SERVER, verb="pause_sync", object=audit.name_of(pool), after=after)
    logger.warning(
        "automatic sync of pool %s is paused: endpoint %s has seen revision %s, which isn't here: "
        "was the database restored from a backup?",
        pool.name,
        endpoint.name,
        seen.number,
    )


def confirm(*, pool: Pool, actor: str, expected_number: int | None = None) -> Pool:
    """An operator confirms the current target: automatic sync goes on. A repeat changes nothing.

    Where an endpoint has seen this number or a higher one, the target becomes a new revision above all of them, so
    that agents take it for news. Raises TargetChanged when `expected_number` is not the current one, NotFound.
    """
    with transaction.atomic():
        (pool,) = row_locks.lock_pools(pool)
        targets.check_expected(pool, expected_number)
        if pool.paused_since is None:
            return pool
        before, target = pool.paused_by, pool.target
        if target and (pool.highest_number > target.number or (before and before["number"] >= target.number)):
            comment = f"Confirmed: #{target.number} is the target, after revisions were lost."
            target = targets.copy(pool, target, actor=actor, comment=comment, approved=target.approved)
        lost = target.number - 1 if target else pool.highest_number
        Pool.objects.filter(pk=pool.pk).update(paused_since=None, paused_by=None, lost_through=lost)
        after = {"number": target.number if target else None}
        audit.record(actor=actor, verb="confirm_target", object=audit.name_of(pool), before=before, after=after)
    return Pool.objects.select_related("target").get(pk=pool.pk)
