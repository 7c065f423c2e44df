"""Operations that must be the ones that were shown: another target, or another sync to take back, is refused.

It must not know HTTP, nor who was shown what.
"""

from collections.abc import Callable

from .exceptions import TargetChanged
from .goals import Goal
from .models import Endpoint


def key(goal: Goal) -> str:
    """Where the goal leads, for a page: the key of a sync's revision, or of the sync that a revert takes back."""
    led = goal.revision or goal.reverts
    return str(led.pk) if led else ""


def check(goal: Goal, shown: str | None) -> None:
    """Raise TargetChanged unless `shown` is None or the key of this goal."""
    if shown is None or shown == key(goal):
        return
    if goal.revision is None:
        raise TargetChanged("The sync that would be taken back is another one by now than was shown.")
    number, pool = goal.revision.number, goal.revision.pool.name
    raise TargetChanged(f"The target is #{number} of {pool} by now, another one than was shown.", number=number)


def goal_of(goal: Callable[[Endpoint], Goal], shown: str | None) -> Callable[[Endpoint], Goal]:
    """`goal` with that check, for `sync_coordinator.create_operation`, which asks for it with the endpoint locked."""

    def checked(endpoint: Endpoint) -> Goal:
        found = goal(endpoint)
        check(found, shown)
        return found

    return checked
