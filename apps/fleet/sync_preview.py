"""What a sync of one endpoint would do now, or why there can be none: the same for API, pages and agent.

It writes nothing. It must not know HTTP or how an operation is queued.
"""

from dataclasses import dataclass

from . import goals, protection
from .difference import Change
from .exceptions import Conflict, FleetError
from .goals import Goal
from .models import Endpoint
from .protection import RefusedRemoval
from .revisions import Unmanaged


@dataclass(frozen=True, kw_only=True)
class SyncPreview:
    """Either `goal` or `refusal` is set; without a goal nothing would change.

    `foreign` are the names that are foreign to the endpoint. `unmanaged` is what the endpoint keeps because the target
    doesn't manage it, with the target's reason. `refused` is what the endpoint's agent would refuse to remove.
    """

    goal: Goal | None
    refusal: FleetError | None
    changes: list[Change]
    foreign: list[str]
    unmanaged: list[Unmanaged]
    refused: list[RefusedRemoval]


def of(endpoint: Endpoint) -> SyncPreview:
    """The preview for this endpoint, with pool, target and state. Raises ComparisonTooLong."""
    try:
        return of_goal(endpoint, goals.sync_goal(endpoint))
    except Conflict as refusal:
        return refused(endpoint, refusal)


def refused(endpoint: Endpoint, refusal: FleetError) -> SyncPreview:
    """The preview of an endpoint that can't be synced now, for this reason."""
    return SyncPreview(goal=None, refusal=refusal, changes=[], foreign=endpoint.foreign, unmanaged=[], refused=[])


def of_goal(endpoint: Endpoint, goal: Goal) -> SyncPreview:
    """The preview of a sync to this goal. Raises ComparisonTooLong."""
    unmanaged = set(goal.kept["unmanaged"])
    reasons: list[Unmanaged] = (goal.revision.unmanaged if goal.revision else None) or []
    return SyncPreview(
        goal=goal,
        refusal=None,
        changes=goal.changes,
        foreign=goal.foreign,
        unmanaged=[one for one in reasons if one["name"] in unmanaged],
        refused=protection.refused_by(endpoint, goal),
    )
