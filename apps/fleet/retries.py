"""Operations that failed for a reason that will pass: queued again, after pauses that grow. It must not know HTTP.

A mirror that answers 429, a full disk or a lost agent says nothing about the target or whether it fits the machine.
What was asked for on the machine itself isn't repeated: the person who sits there has seen the message.
"""

import random
from datetime import timedelta
from typing import Any

from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now

from . import clock, operation_results, transitions
from .models import Operation, OperationStatus

# Codes of results. The first ones are the agent's (docs/agent.md), the last ones the server's own.
CODES = frozenset(
    {"mirror_failed", "network_failed", "databases_unreadable", "disk_full", "database_locked", "lease_lost"}
    | {"pacman_killed", "server_unavailable", "too_many_requests", "attempts_exhausted", "deadline_passed"}
)
ASKED_AGAIN = "asked_again"
"""The code of an operation that waited for its next try, and was cancelled for one that somebody asked for."""
PAUSES = (60, 300, 900, 3600)  # seconds until the next try; the last one from then on
JITTER = 0.25  # a pause is longer by up to this share, so that a fleet that failed at once doesn't return at once

# Whether it waits for the time of its next try; the column `waits` of a check-in's query.
WAITS = ExpressionWrapper(Q(status=OperationStatus.QUEUED, retry_at__gt=Now()), output_field=BooleanField())


def is_passing(result: dict[str, Any] | None) -> bool:
    """Whether the failure says nothing about target and machine."""
    return (result or {}).get("code") in CODES


def queue_later(
    operation: Operation, result: dict[str, Any], *, actor: str, state: str | None = None, **fields: Any
) -> bool:
    """Queue a failed operation for another try; False if it isn't to be tried again, or another caller won the race.

    `state` is the digest of the state that the endpoint is in; None: its agent was lost, and the state is the one from
    before. `fields` are further columns. An operation isn't tried again if it changed the machine, if it was asked for
    on the machine itself, or if its deadline passes before.
    """
    changed = state not in (None, operation.base_state_id)
    if changed or not is_passing(result) or operation.author == f"endpoint:{operation.endpoint.name}":
        return False
    return transitions.queue_for_retry(
        operation,
        retry_at=clock.moved(_pause(operation.retries)),
        result=result,
        actor=actor,
        only_if_lost=state is None,
        **fields,
    )


def _pause(retries: int) -> timedelta:
    seconds = PAUSES[min(retries, len(PAUSES) - 1)]
    return timedelta(seconds=seconds * random.uniform(1, 1 + JITTER))  # noqa: S311 - jitter


def gives_way(operation: Operation | None) -> bool:
    """Whether an operation that is asked for now replaces this one: it waits for its next try, or it is None."""
    return operation is None or bool(operation.status == OperationStatus.QUEUED and operation.retries)


def make_way(operation: Operation, *, actor: str) -> bool:
    """Cancel an operation that waits for its next try, for one that is asked for now; whether it was such a one."""
    if not gives_way(operation):
        return False
    result = operation_results.server_result(
        "cancelled", ASKED_AGAIN, "Another operation was asked for before its next try."
    )
    return transitions.end(operation, status=OperationStatus.CANCELLED, actor=actor, result=result)
