"""Refuses an operation that would lead elsewhere than the person saw: to another target, or back from another sync.

It must not know HTTP or how a page shows a goal.
"""

from collections.abc import Callable

from .exceptions import TargetChanged
from .goals import Goal
from .models import Endpoint


def value_of(goal: Goal) -> str:
    """Where the goal leads, for a form: the key of a sync's revision, or of the sync that a revert takes back."""
    led = goal.revision or goal.reverts
    return str(led.pk) if led else ""


def check(goal: Goal, expected: str | None) -> None:
    """Raise TargetChanged unless `expected` is None or `value_of(goal)`."""
    if expected is None or expected == value_of(goal):
        return
    if goal.revision is None:
        raise TargetChanged("The sync that would be reverted is now a different one from the one shown.")
    number, pool = goal.revision.number, goal.revision.pool.name
    raise TargetChanged(f"The target is now #{number} of {pool}, not the one that was shown.", number=number)


def goal_of(goal: Callable[[Endpoint], Goal], expected: str | None) -> Callable[[Endpoint], Goal]:
    """`goal` with that check, for `sync_coordinator.create_operation`, which calls it with the endpoint locked."""

    def checked(endpoint: Endpoint) -> Goal:
        found = goal(endpoint)
        check(found, expected)
        return found

    return checked
