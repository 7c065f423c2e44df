"""Operations that failed for a reason that will pass: queued again, after pauses that grow. It must not know HTTP.

A mirror that answers 429, a full disk or a lost agent says nothing of the target, nor of whether it fits the machine.
What was asked for on the machine itself isn't repeated behind the back of whoever sits there: they have the message.
"""

import random
from datetime import timedelta
from typing import Any

from django.db.models import BooleanField, ExpressionWrapper, F, Q
from django.db.models.functions import Now

from . import audit, clock, judgement
from .models import Operation, OperationStatus

# Codes of results. The first ones are the agent's (docs/agent.md), the last ones the server's own.
CODES = frozenset(
    {"mirror_failed", "network_failed", "databases_unreadable", "disk_full", "database_locked", "lease_lost"}
    | {"pacman_killed", "server_unavailable", "too_many_requests", "attempts_exhausted", "deadline_passed"}
)
ASKED_ANEW = "asked_again"
"""The code of an operation that waited for its next try, and gave way to one that somebody asked for."""
PAUSES = (60, 300, 900, 3600)  # seconds until the next try; the last one for ever
JITTER = 0.25  # so much longer at the most, so that a fleet that failed at once doesn't come back at once

# Whether it waits for the time of its next try; the column `waits` of `with_waiting`.
WAITS = ExpressionWrapper(Q(status=OperationStatus.QUEUED, retry_at__gt=Now()), output_field=BooleanField())


GIVES_WAY = Q(status=OperationStatus.QUEUED, retries__gt=0)  # as `gives_way` says of one


def is_passing(result: dict[str, Any] | None) -> bool:
    """Whether the failure says nothing of target and machine."""
    return (result or {}).get("code") in CODES


def queue_later(
    operation: Operation, result: dict[str, Any], *, actor: str, state: str | None = None, **fields: Any
) -> bool:
    """Queue a failed operation for another try; False where it isn't to be tried again, or somebody was faster.

    `state` is the digest that the endpoint is in, None: the one that it was in; `fields` are further columns. Not where
    the machine was changed, nor what was asked for on it, nor past the deadline.
    """
    changed = state not in (None, operation.base_state_id)
    if changed or not is_passing(result) or operation.author == f"endpoint:{operation.endpoint.name}":
        return False
    retry_at = clock.moved(_pause(operation.retries))
    guard = Q(pk=operation.pk, status=operation.status, lease_token=operation.lease_token, deadline__gt=retry_at)
    if state is None:  # lost: only if its lease hasn't been extended in the meantime
        guard &= Q(lease_until__lt=Now())
    rows = Operation.objects.filter(guard).update(
        status=OperationStatus.QUEUED,
        lease_token=None,
        lease_until=None,
        applying_since=None,
        attempt=0,
        retries=F("retries") + 1,
        retry_at=retry_at,
        result=result,
        **fields,
    )
    if rows:
        before = operation.status
        operation.refresh_from_db()
        after = {"status": operation.status, "code": result["code"], "retry_at": _text(operation)}
        audit.record(
            actor=actor, verb="requeue", object=audit.name_of(operation), before={"status": before}, after=after
        )
    return bool(rows)


def _pause(retries: int) -> timedelta:
    seconds = PAUSES[min(retries, len(PAUSES) - 1)]
    return timedelta(seconds=seconds * random.uniform(1, 1 + JITTER))  # noqa: S311 - jitter


def _text(operation: Operation) -> str:
    return operation.retry_at.isoformat(timespec="seconds") if operation.retry_at else ""


def gives_way(operation: Operation | None) -> bool:
    """Whether an operation that is asked for now takes this one's place: it waits for its next try, or is None."""
    return operation is None or bool(operation.status == OperationStatus.QUEUED and operation.retries)


def make_way(operation: Operation, *, actor: str) -> bool:
    """Cancel an operation that waits for its next try, for one that is asked for now; whether it was such a one."""
    if not gives_way(operation):
        return False
    result = judgement.server_result("cancelled", ASKED_ANEW, "Another operation was asked for before its next try.")
    return judgement.end(operation, status=OperationStatus.CANCELLED, actor=actor, result=result)
