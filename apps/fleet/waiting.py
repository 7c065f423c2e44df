"""What an operation waits for before it begins or goes on, in a sentence. It writes nothing.

It must not know HTTP or how times are shown.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from . import clock, obsolete_operations, progress, queued_syncs, status
from .leases import LEASE_SECONDS
from .models import Operation, OperationStatus
from .queued_syncs import SyncDestination

DATABASE_LOCKED = "database_locked"


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """`code` is stable, `text` for people; `since` when it began to wait for that, `until` when that is over at last.

    Both times are None if they aren't known.
    """

    code: str
    text: str
    since: datetime | None = None
    until: datetime | None = None


def of(operation: Operation) -> Waiting | None:
    """What it waits for; None if it is at work or has ended. It is read with its endpoint. A few queries."""
    if operation.status == OperationStatus.QUEUED:
        now = clock.now()
        destination = queued_syncs.destination(operation)
        return _in_vain(operation, destination) or _with_destination(destination, _queued(operation, now))
    if operation.is_claimed:
        return _leased(operation, clock.now())
    return None


def _in_vain(operation: Operation, destination: SyncDestination | None) -> Waiting | None:
    """Why it will never begin."""
    endpoint = operation.endpoint
    if endpoint.token_hash is None:
        text = "The machine's token was revoked: it can't ask for the operation until it is given a new one."
        return Waiting(code="token_revoked", text=text, since=endpoint.revoked)
    if endpoint.token_shared is not None:
        text = (
            "More than one machine reports with this endpoint's token. It waits until one of them has enrolled again."
        )
        return Waiting(code="token_shared", text=text, since=endpoint.token_shared, until=operation.deadline)
    if endpoint.state_id != operation.base_state_id:
        text = "The machine's packages have changed since it was queued. It is cancelled when the machine asks for it."
        return Waiting(code="base_changed", text=text)
    if why := obsolete_operations.cancel_reason(operation, destination_of=lambda _: destination):
        code, message = why
        return Waiting(code=code, text=f"{message} It is cancelled when the machine asks for it.")
    return None


def _with_destination(destination: SyncDestination | None, found: Waiting) -> Waiting:
    """Say where a sync goes, if that isn't where it would go now."""
    if destination is None:
        return found
    target = f"#{destination.target} now" if destination.target else "none now"
    return replace(found, text=f"{found.text} It goes to target #{destination.number}; the pool's target is {target}.")


def _queued(operation: Operation, now: datetime) -> Waiting:
    endpoint = operation.endpoint
    if operation.retry_at and operation.retry_at > now:
        return _next_try(operation)
    if status.is_offline(endpoint.last_seen, now):
        text = "The machine is offline. The operation begins when it is back, if that is before the deadline."
        return Waiting(code="offline", text=text, since=endpoint.last_seen, until=operation.deadline)
    if _lost_before(operation):
        text = (
            "An earlier operation of this machine was lost while pacman was at work. If that pacman is still running, "
            "this one begins after it; otherwise with the machine's next report."
        )
        return Waiting(code="another_operation", text=text)
    return Waiting(code="next_report", text="It begins with the machine's next report.")


def _next_try(operation: Operation) -> Waiting:
    locked = (operation.result or {}).get("code") == DATABASE_LOCKED
    text = "It waits for its next try: the last one failed for a reason that will pass."
    if locked:
        text = "Another program holds the lock of the machine's package database. It waits for its next try."
    return Waiting(code=DATABASE_LOCKED if locked else "next_try", text=text, until=operation.retry_at)


def _lost_before(operation: Operation) -> bool:
    """Whether the operation before this one was lost while pacman was at work."""
    earlier = Operation.objects.filter(endpoint=operation.endpoint_id).exclude(pk=operation.pk)
    newest = earlier.order_by("-created", "-id").values_list("status", "applying_since").first()
    return newest is not None and newest[0] == OperationStatus.LOST and newest[1] is not None


def _leased(operation: Operation, now: datetime) -> Waiting | None:
    until = operation.lease_until
    if until is not None and until < now:
        since = until - timedelta(seconds=LEASE_SECONDS)
        if operation.status == OperationStatus.APPLYING:
            text = (
                "The machine's agent hasn't been heard from since then. pacman may still be running; the machine's "
                "next report decides how the operation ended."
            )
            return Waiting(code="agent_silent", text=text, since=since, until=operation.deadline)
        text = "The machine's agent hasn't been heard from since then. Its next report gets the operation again."
        return Waiting(code="agent_silent", text=text, since=since)
    said = progress.of(operation)
    if said and said.waiting:
        return Waiting(code="mirror", text=f"The machine waits for {said.waiting}.")
    return None
