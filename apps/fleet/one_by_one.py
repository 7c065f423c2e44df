"""Syncing or cancelling one of many endpoints after the other, each in a transaction of its own.

A batch ends early where the time of the request or the database gives out; what was done until then stays, and the
rest says that it was not reached. It must not know HTTP, nor which endpoints there are.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar
from uuid import UUID

from django.db import InterfaceError, InternalError, OperationalError

from apps.lifecycle.dbpool import OutcomeUnknown

from . import as_shown, goals, sync_coordinator, time_limit
from .exceptions import AlreadyInSync, FleetError, OperationActive
from .models import Endpoint, Operation, OperationKind

logger = logging.getLogger(__name__)
T = TypeVar("T")

NOTHING = "No operation under way."
NOTHING_TO_CANCEL, NOT_REACHED, OUTCOME_UNKNOWN = "nothing_to_cancel", "not_reached", "outcome_unknown"
NO_TIME = "There was no time left in this request. Do it again for this one."
NO_DATABASE = "The database failed before this one's turn. Nothing was changed for it: do it again."
_UNKNOWN = "The database didn't confirm it: look whether it was done before you repeat it."
# The refusals that have the endpoint's name in the middle, without it.
_SENTENCES = {
    AlreadyInSync.code: "In sync already.",
    OperationActive.code: "An operation is under way.",
}


class Case(NamedTuple):
    """One endpoint of many. It is done, or would be, where `code` is empty; else `detail` is why it is left out.

    `shown` is what a page that asks has to send back: the key of the target revision of a sync, the operation that is
    cancelled.
    """

    endpoint: str
    code: str = ""
    detail: str = ""
    operation: UUID | None = None
    shown: str = ""


def each(items: Iterable[tuple[str, T]], do: Callable[[T], Case]) -> Iterator[Case]:
    """The case of each (name, item). Half of the time that the request has left is used, then the rest isn't reached.

    A database error ends it as well; it is raised only where nothing was done before.
    """
    limit, done, stopped = (1 + time_limit.spent()) / 2, 0, ""
    for name, item in items:
        if not stopped and time_limit.spent() > limit:
            stopped = NO_TIME
        if stopped:
            yield Case(name, NOT_REACHED, stopped)
            continue
        try:
            case = do(item)
        except (OperationalError, InterfaceError, InternalError) as error:
            if not done:
                raise
            logger.warning("a batch ended after %s, at %s: %s: %s", done, name, type(error).__name__, error)
            stopped = NO_DATABASE
            unknown = isinstance(error, OutcomeUnknown)
            case = Case(name, OUTCOME_UNKNOWN, _UNKNOWN) if unknown else Case(name, NOT_REACHED, stopped)
        done += not case.code
        yield case


def sync(endpoint: Endpoint, *, actor: str, shown: str | None = None) -> Case:
    """Queue a sync; to the target revision with the key `shown` only, if that is given."""
    goal_of = as_shown.goal_of(goals.sync_goal, shown)
    try:
        made, _ = sync_coordinator.create_operation(
            endpoint=endpoint, kind=OperationKind.SYNC, actor=actor, goal_of=goal_of
        )
    except FleetError as refusal:
        return Case(endpoint.name, refusal.code, without_name(refusal, endpoint.name))
    return Case(endpoint.name, operation=made.pk)


def cancel(endpoint: Endpoint, operation: Operation | None, *, actor: str, shown: str | None = None) -> Case:
    """Cancel the endpoint's operation under way; only the one with the id `shown`, if that is given."""
    if operation is None:
        return Case(endpoint.name, NOTHING_TO_CANCEL, NOTHING)
    if shown is not None and shown != str(operation.pk):
        return Case(endpoint.name, OperationActive.code, "Another operation is under way by now.", operation.pk)
    try:
        sync_coordinator.cancel(operation=operation, actor=actor)
    except FleetError as refusal:
        return Case(endpoint.name, refusal.code, without_name(refusal, endpoint.name), operation.pk)
    return Case(endpoint.name, operation=operation.pk)


def without_name(refusal: FleetError, name: str) -> str:
    """The reason in the same words for every endpoint, so that those with the same one are counted together."""
    text = _SENTENCES.get(refusal.code) or str(refusal)
    return f"It {text.removeprefix(f'{name} ')}" if text.startswith(f"{name} ") else text
