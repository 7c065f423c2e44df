"""Batches: syncing or cancelling one endpoint after the other, each in a transaction of its own.

A batch ends early if the request has no time left or the database fails. What was done until then stays done, and the
other items say that they were not reached. It must not know HTTP or which endpoints there are.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar
from uuid import UUID

from django.db import InterfaceError, InternalError, OperationalError

from apps.lifecycle.dbpool.facade import OutcomeUnknown

from . import expected_values, goals, sync_coordinator, time_limit
from .exceptions import AlreadyInSync, FleetError, OperationActive
from .models import Endpoint, Operation, OperationKind

logger = logging.getLogger(__name__)
T = TypeVar("T")

IN_SYNC = "In sync already."
NOTHING = "No operation under way."
NOTHING_TO_CANCEL, NOT_REACHED, OUTCOME_UNKNOWN = "nothing_to_cancel", "not_reached", "outcome_unknown"
NO_TIME = "There was no time left in this request. Do it again for this one."
NO_DATABASE = "The database failed before this one's turn. Nothing was changed for it: do it again."
_UNKNOWN = "The database didn't confirm it: check whether it was done before you repeat it."
# Refusals whose text has the endpoint's name in the middle, without the name.
_SENTENCES = {
    AlreadyInSync.code: IN_SYNC,
    OperationActive.code: "An operation is under way.",
}


class BatchItem(NamedTuple):
    """What became of one endpoint, or would: done if `code` is empty; else `detail` says why it is left out.

    `refusal` says the same with the name of the endpoint. `expected` is what a page that asks has to send back: the key
    of the target revision of a sync, or the id of the operation to cancel.
    """

    endpoint: str
    code: str = ""
    detail: str = ""
    operation: UUID | None = None
    expected: str = ""
    refusal: str = ""


def each(items: Iterable[tuple[str, T]], do: Callable[[T], BatchItem]) -> Iterator[BatchItem]:
    """The case of each (name, item). It uses half of the time that the request has left; the rest isn't reached.

    A database error ends it as well, and is raised if nothing was done before. The first item is always tried.
    """
    limit, done, tried, stopped = (1 + time_limit.spent()) / 2, 0, False, ""
    for name, item in items:
        if not stopped and time_limit.spent() > limit and tried:
            stopped = NO_TIME
        tried = True
        if stopped:
            yield BatchItem(name, NOT_REACHED, stopped)
            continue
        try:
            case = do(item)
        except (OperationalError, InterfaceError, InternalError) as error:
            if not done:
                raise
            logger.warning("a batch ended after %s, at %s: %s: %s", done, name, type(error).__name__, error)
            stopped = NO_DATABASE
            unknown = isinstance(error, OutcomeUnknown)
            case = BatchItem(name, OUTCOME_UNKNOWN, _UNKNOWN) if unknown else BatchItem(name, NOT_REACHED, stopped)
        done += not case.code
        yield case


def sync(endpoint: Endpoint, *, actor: str, expected: str | None = None) -> BatchItem:
    """Queue a sync; to the target revision with the key `expected` only, if that is given."""
    goal_of = expected_values.goal_of(goals.sync_goal, expected)
    try:
        made, _ = sync_coordinator.create_operation(
            endpoint=endpoint, kind=OperationKind.SYNC, actor=actor, goal_of=goal_of
        )
    except FleetError as refusal:
        detail = without_name(refusal, endpoint.name)
        return BatchItem(endpoint.name, refusal.code, detail, refusal=str(refusal))
    return BatchItem(endpoint.name, operation=made.pk)


def cancel(endpoint: Endpoint, operation: Operation | None, *, actor: str, expected: str | None = None) -> BatchItem:
    """Cancel the endpoint's operation under way; only the one with the id `expected`, if that is given."""
    if operation is None:
        return BatchItem(endpoint.name, NOTHING_TO_CANCEL, NOTHING)
    if expected is not None and expected != str(operation.pk):
        return BatchItem(endpoint.name, OperationActive.code, "Another operation is now under way.", operation.pk)
    try:
        sync_coordinator.cancel(operation=operation, actor=actor)
    except FleetError as refusal:
        return BatchItem(endpoint.name, refusal.code, without_name(refusal, endpoint.name), operation.pk)
    return BatchItem(endpoint.name, operation=operation.pk)


def without_name(refusal: FleetError, name: str) -> str:
    """The refusal without the endpoint's name, so that endpoints with the same reason can be counted together."""
    text = _SENTENCES.get(refusal.code) or str(refusal)
    return f"It {text.removeprefix(f'{name} ')}" if text.startswith(f"{name} ") else text
