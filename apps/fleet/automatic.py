"""Automatic sync: what a pool's policy queues when an endpoint checks in. It must not know leases or HTTP."""

from collections.abc import Iterable

from . import goals, paused_automatic_sync, status, sync_policy, trusted_keys
from .difference import Change
from .exceptions import ComparisonTooLong, Conflict
from .goals import Goal
from .models import Endpoint, Operation
from .status import EndpointStatus


def wanted(endpoint: Endpoint) -> Goal | None:
    """The goal of the sync that the pool's policy wants now, or None. Reads only."""
    pool = endpoint.pool
    if pool is None or not pool.auto_sync or pool.target is None or endpoint.state_id in (None, pool.target.state_id):
        return None
    if pool.paused_since is not None or pool.target_needs_approval:  # an operator is to confirm or approve first
        return None
    if not trusted_keys.follows(endpoint, pool.target):  # an operator is to sign first
        return None
    if Operation.objects.filter(endpoint=endpoint).active().exists() or paused_automatic_sync.of_one(endpoint):
        return None
    if status.by_packages([endpoint])[endpoint.pk] == EndpointStatus.IN_SYNC:  # cheap: looks at differing packages only
        return None
    try:
        goal = goals.sync_goal(endpoint)
        return goal if sync_policy.allows(pool.conflict_resolution, {change.kind for change in goal.changes}) else None
    except (Conflict, ComparisonTooLong):  # another architecture, nothing would be left, too large or too slow
        return None


def rests(endpoint: Endpoint, changes: Iterable[Change]) -> paused_automatic_sync.Resting | None:
    """Why automatic sync rests for an endpoint that it would otherwise bring to its target by these changes."""
    kinds, pool = {change.kind for change in changes}, endpoint.pool
    if pool is None or not kinds or not sync_policy.allows(pool.conflict_resolution, kinds):
        return None
    return paused_automatic_sync.of_one(endpoint)
