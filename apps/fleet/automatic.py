"""Automatic sync: what a pool's policy queues when an endpoint checks in. It must not know leases, nor HTTP."""

from . import goals, obsolete, retrying, status
from .difference import ChangeKind
from .exceptions import ComparisonTooLong, Conflict
from .goals import Goal
from .models import Endpoint, Operation, OperationKind, OperationStatus
from .models.pools import ConflictResolution
from .status import Status

# What ended an operation without the endpoint having tried: no reason not to try again.
_UNTRIED = frozenset(
    {"base_changed", retrying.ASKED_ANEW, obsolete.SYNC_PAUSED, obsolete.TARGET_CHANGED, obsolete.TOKEN_REVOKED}
)


def wanted(endpoint: Endpoint) -> Goal | None:
    """The goal of the sync that the pool's policy wants now, or None. Reads only."""
    pool = endpoint.pool
    if pool is None or not pool.auto_sync or pool.target is None or endpoint.state_id in (None, pool.target.state_id):
        return None
    if pool.paused_since is not None or pool.target_needs_approval:  # an operator is to confirm or approve first
        return None
    if Operation.objects.filter(endpoint=endpoint).active().exists() or _given_up(endpoint) or _taken_back(endpoint):
        return None
    if status.by_packages([endpoint])[endpoint.pk] == Status.IN_SYNC:  # cheap: looks at differing packages only
        return None
    try:
        goal = goals.sync_goal(endpoint)
        return goal if _allowed(pool.conflict_resolution, goal) else None
    except (Conflict, ComparisonTooLong):  # another architecture, nothing would be left, too large or too slow
        return None


def _given_up(endpoint: Endpoint) -> bool:
    """Whether a sync from this very state to this very revision was tried, and failed or was cancelled.

    A failure that says nothing of target and machine is no reason to give up.
    """
    ended = Operation.objects.filter(
        endpoint=endpoint,
        kind=OperationKind.SYNC,
        base_state=endpoint.state_id,
        revision=endpoint.pool.target_id if endpoint.pool else None,
        status__in=(OperationStatus.FAILED, OperationStatus.CANCELLED, OperationStatus.LOST),
    )
    results = ended.values_list("result", flat=True)
    return any((one or {}).get("code") not in _UNTRIED and not retrying.is_passing(one) for one in results)


def _taken_back(endpoint: Endpoint) -> bool:
    """Whether somebody reverted the very sync that would be queued: that is a decision, until a new target comes."""
    return (
        Operation.objects.reached()
        .filter(
            endpoint=endpoint,
            kind=OperationKind.REVERT,
            target_state=endpoint.state_id,
            reverts__revision=endpoint.pool.target_id if endpoint.pool else None,
        )
        .exists()
    )


def _allowed(resolution: str, goal: Goal) -> bool:
    changes = goal.changes
    if resolution == ConflictResolution.MANUAL:
        return status.classify(changes) == Status.BEHIND
    if resolution == ConflictResolution.NEWEST:
        return all(change.kind != ChangeKind.DOWNGRADE for change in changes)
    return True
