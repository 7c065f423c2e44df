"""Automatic sync: what a pool's policy queues when an endpoint checks in. It must not know leases, nor HTTP."""

from collections.abc import Collection

from . import goals, resting, status
from .difference import ChangeKind
from .exceptions import ComparisonTooLong, Conflict
from .goals import Goal
from .models import Endpoint, Operation
from .models.pools import ConflictResolution
from .status import Status


def wanted(endpoint: Endpoint) -> Goal | None:
    """The goal of the sync that the pool's policy wants now, or None. Reads only."""
    pool = endpoint.pool
    if pool is None or not pool.auto_sync or pool.target is None or endpoint.state_id in (None, pool.target.state_id):
        return None
    if pool.paused_since is not None or pool.target_needs_approval:  # an operator is to confirm or approve first
        return None
    if Operation.objects.filter(endpoint=endpoint).active().exists() or resting.of_one(endpoint):
        return None
    if status.by_packages([endpoint])[endpoint.pk] == Status.IN_SYNC:  # cheap: looks at differing packages only
        return None
    try:
        goal = goals.sync_goal(endpoint)
        kinds = {change.kind for change in goal.changes}
        return goal if allows(pool.conflict_resolution, kinds) else None
    except (Conflict, ComparisonTooLong):  # another architecture, nothing would be left, too large or too slow
        return None


def allows(resolution: str, kinds: Collection[ChangeKind]) -> bool:
    """Whether a pool with this conflict resolution syncs by itself what has changes of these kinds."""
    if resolution == ConflictResolution.MANUAL:
        return status.classify_kinds(kinds) == Status.BEHIND
    if resolution == ConflictResolution.NEWEST:
        return ChangeKind.DOWNGRADE not in kinds
    return True
