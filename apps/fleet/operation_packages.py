"""The packages of an operation before and after: what it is to change, or did. It writes nothing.

It must not know HTTP or how an operation comes to its end.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from . import difference, revisions, states
from .alpm.state import InstalledPackage
from .difference import Change, KeptPackages
from .models import Operation, OperationStatus, State


class What(StrEnum):
    """What the two sides of an operation's packages mean."""

    PLANNED = "planned"
    """From the state that the endpoint was in when it was queued to the goal: the operation hasn't ended."""
    CHANGED = "changed"
    """From the state before to the state that it left its endpoint in."""
    NOT_BEGUN = "not_begun"
    """It ended before pacman was started and changed nothing: what it would have changed."""
    NOT_KNOWN = "not_known"
    """The state that it left isn't known or isn't kept any more: what it should have changed."""


@dataclass(frozen=True)
class OperationPackages:
    """`before` and `after` are the states on both sides. What is read of them raises StateTooLarge, ComparisonTooLong.

    An operation that failed while pacman was at work has its real end in `after`, not its goal.
    """

    operation: Operation
    what: What
    before: State
    after: State

    @cached_property
    def _after(self) -> list[InstalledPackage]:
        return states.load(self.after)

    @cached_property
    def changes(self) -> list[Change]:
        """What leads from one side to the other, sorted by name. Two queries."""
        if self.before.pk == self.after.pk:
            return []
        return difference.compare(states.load(self.before), self._after)

    @cached_property
    def kept(self) -> dict[str, list[str]]:
        """The names that the goal leaves as they are although the target has them otherwise, each under one of KEPT.

        Only of what is planned; empty for what has ended. Why a name is kept is what is true of the endpoint now.
        """
        found: dict[str, list[str]] = {why: [] for why in difference.KEPT}
        operation = self.operation
        revision = operation.revision
        target = revision.state if revision else operation.reverts.base_state if operation.reverts else None
        if self.what != What.PLANNED or target is None or target.pk == self.after.pk:
            return found
        endpoint = operation.endpoint
        kept = KeptPackages(
            held=endpoint.holds,
            foreign=(*endpoint.foreign, *(operation.reverts.foreign if operation.reverts else ())),
            excluded=endpoint.pool.excluded_packages if endpoint.pool else (),
            unmanaged=revisions.unmanaged_names(revision) if revision else (),
        )
        return kept.among(change.name for change in difference.compare(states.load(target), self._after))


def of(operation: Operation) -> OperationPackages:
    """The packages of this operation; nothing is read of the packages themselves yet."""
    before, goal = operation.base_state, operation.target_state
    if operation.is_active:
        return OperationPackages(operation, What.PLANNED, before, goal)
    succeeded = operation.status == OperationStatus.SUCCEEDED
    # Before pacman was started: whatever is different on the endpoint since, it is somebody else's doing.
    if operation.applying_since is None and not succeeded:
        return OperationPackages(operation, What.NOT_BEGUN, before, goal)
    end = State.objects.filter(pk=operation.end_state_id).first() if operation.end_state_id else None
    if end is not None:
        return OperationPackages(operation, What.CHANGED, before, end)
    if operation.end_state_id is None and succeeded:  # before ends were kept
        return OperationPackages(operation, What.CHANGED, before, goal)
    return OperationPackages(operation, What.NOT_KNOWN, before, goal)
