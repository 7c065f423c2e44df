"""Operations as requests and agents ask for them: create, cancel, claim, keep the lease, finish.

Each function owns its transaction and its refusals; the UPDATEs are in `transitions`. Creating, claiming and finishing
lock the endpoint's row first. It must not know HTTP.
"""

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction

from . import (
    audit,
    clock,
    endpoint_presence,
    goals,
    leases,
    limits,
    obsolete_operations,
    operation_results,
    package_sources,
    queueing,
    reports,
    retries,
    row_locks,
    text_input,
    transitions,
)
from .content_lock import share_content
from .exceptions import (
    BaseChanged,
    IdempotencyKeyReused,
    Invalid,
    LeaseLost,
    NotCancellable,
    NotClaimable,
    OperationActive,
    StateUnknown,
)
from .goals import Goal
from .leases import LEASE_SECONDS, expire_leases
from .models import Endpoint, EndpointState, Operation, OperationKind, OperationStatus, State
from .models.operations import CANCELLABLE, FILES_DIFFER, MAX_ATTEMPTS, UNHEALTHY
from .package_sources import Fetch
from .progress import checked as checked_progress

__all__ = [
    "GOALS",
    "LEASE_SECONDS",
    "Claim",
    "Fetch",
    "cancel",
    "claim",
    "create_operation",
    "expire_leases",
    "finish",
    "heartbeat",
    "probe",
]

logger = logging.getLogger(__name__)

# What each kind of operation brings its endpoint to; a kind without a goal can't be made.
GOALS = {OperationKind.SYNC.value: goals.sync_goal, OperationKind.REVERT.value: goals.revert_goal}
PHASES = ("leased", "applying")
_LEASE_LOST = "The lease no longer belongs to this token."


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A lease, with all that the agent needs to carry the operation out."""

    operation: Operation
    fetch: tuple[Fetch, ...]


def create_operation(
    *,
    endpoint: Endpoint,
    kind: str,
    actor: str,
    idempotency_key: str | None = None,
    goal_of: Callable[[Endpoint], Goal] | None = None,
) -> tuple[Operation, bool]:
    """Queue an operation: (operation, True), or (operation, False) if this key made it before.

    `goal_of` says where it leads instead of the kind's own goal; it is called with the endpoint's row locked.

    Raises NoPool, NoTarget, StateUnknown, AlreadyInSync, NothingToRevert, OperationActive, IdempotencyKeyReused,
    Invalid (an unknown kind, a key that is too long), Conflict (the target is for another architecture).
    """
    if kind not in OperationKind.values:
        raise Invalid(f"kind must be one of {', '.join(OperationKind.values)}.", field="kind")
    if idempotency_key is not None:
        text_input.line(idempotency_key, field="idempotency_key", maximum=limits.IDEMPOTENCY_KEY_LENGTH)
    try:
        with transaction.atomic():
            endpoint = row_locks.lock_endpoint(endpoint)
            share_content()
            if made := _made_before(endpoint, kind, idempotency_key):
                return made, False
            active = Operation.objects.with_names().filter(endpoint=endpoint).active().first()
            if active and not retries.make_way(active, actor=actor):
                raise OperationActive(f"An operation of {endpoint.name} is under way.")
            goal = (goal_of or GOALS[kind])(endpoint)
            return queueing.queue(endpoint, kind=kind, goal=goal, actor=actor, idempotency_key=idempotency_key), True
    except IntegrityError:  # the same key for another endpoint at the same moment: the row lock covers all else
        if made := _made_before(endpoint, kind, idempotency_key):
            return made, False
        raise


def _made_before(endpoint: Endpoint, kind: str, key: str | None) -> Operation | None:
    """The operation that this key made, if any. Raises IdempotencyKeyReused if the key was for something else."""
    made = Operation.objects.with_names().filter(idempotency_key=key).first() if key is not None else None
    if made and (made.endpoint_id, made.kind) != (endpoint.pk, kind):
        raise IdempotencyKeyReused("This idempotency key was used for another request.")
    return made


def cancel(*, operation: Operation, actor: str) -> Operation:
    """Cancel an operation before pacman is started. Raises NotCancellable after that: pacman is never killed.

    An agent that has the operation loses its lease. It learns that from its next heartbeat, which it sends before it
    starts pacman. A repeat returns the cancelled operation.
    """
    result = operation_results.server_result("cancelled", "cancelled", f"Cancelled by {audit.display_name(actor)}.")
    for _ in range(MAX_ATTEMPTS + 1):  # the lease may be given or run out in the meantime
        with transaction.atomic():
            found = row_locks.operation(operation.pk)
            if found.status in CANCELLABLE:
                transitions.end(found, status=OperationStatus.CANCELLED, actor=actor, result=result)
            found = row_locks.operation(operation.pk)
        if found.status not in CANCELLABLE:
            break
    if found.status != OperationStatus.CANCELLED:
        raise NotCancellable(f"The operation is {found.status}: it can be cancelled only before pacman is started.")
    return found


def claim(*, operation_id: uuid.UUID, endpoint: Endpoint, lease_token: uuid.UUID, state: str) -> Claim:
    """Lease the operation to the agent with `lease_token`, for LEASE_SECONDS. `state` is the digest of the
    endpoint's current state.

    A repeat with the token that has the lease extends it. Raises NotFound, NotClaimable, and BaseChanged, which cancels
    the operation for good.
    """
    endpoint_presence.seen(endpoint)
    with transaction.atomic():
        operation = row_locks.operation_of(row_locks.lock_endpoint(endpoint), operation_id)
        refused = None if _has_lease(operation, lease_token) else _lease(operation, lease_token, state)
        if refused is None:
            held = Operation.objects.claimed().filter(pk=operation.pk, lease_token=lease_token)
            held.update(lease_until=leases.until())
    if refused:  # raised after the transaction, so that a cancellation stays
        raise refused
    operation = row_locks.operation(operation_id)
    return Claim(operation=operation, fetch=package_sources.fetch(operation))


def _has_lease(operation: Operation, lease_token: uuid.UUID) -> bool:
    return operation.is_claimed and operation.lease_token == lease_token


def _lease(operation: Operation, lease_token: uuid.UUID, state: str) -> Exception | None:
    """Take the lease if it can be had; else what to raise."""
    if not Operation.objects.claimable().filter(pk=operation.pk).exists():
        waits = f" until its next try at {operation.retry_at:%Y-%m-%d %H:%M} UTC" if operation.retry_at else ""
        return NotClaimable(f"The operation can't be claimed: it is {operation.status}{waits}.")
    if operation.endpoint.token_shared is not None:
        return NotClaimable("More than one machine reports with this token: none of them gets an operation.")
    if state != operation.base_state_id:
        message = "The endpoint is no longer in the state that the operation was made for."
        _cancel_claimed(operation, code="base_changed", message=message)
        return BaseChanged(message)
    if why := obsolete_operations.cancel_reason(
        operation
    ):  # the policy queued it just when a pause or a new target came
        code, message = why
        _cancel_claimed(operation, code=code, message=message)
        return NotClaimable(message)
    won = transitions.lease(operation, lease_token=lease_token, until=leases.until())
    return None if won else NotClaimable("Another agent claimed the operation first.")


def _cancel_claimed(operation: Operation, *, code: str, message: str) -> None:
    result = operation_results.server_result("cancelled", code, message)
    actor = f"endpoint:{operation.endpoint.name}"
    transitions.end(operation, status=OperationStatus.CANCELLED, actor=actor, result=result)


def heartbeat(
    *,
    operation_id: uuid.UUID,
    endpoint: Endpoint,
    lease_token: uuid.UUID,
    phase: str,
    hook: dict[str, str] | None = None,
    progress: Mapping[str, Any] | None = None,
) -> Operation:
    """Extend the lease by LEASE_SECONDS; `phase` "applying" moves the operation there, for good.

    `hook` is what pacman is running (name, description, since), None if it does something else. `progress` is how
    far the agent is: the fields of `apps.fleet.progress.OperationProgress`. Raises NotFound, LeaseLost, Invalid.

    A lease that ran out while applying is extended too: no other agent can have it, and pacman isn't killed. A
    heartbeat also counts as a sign of life: a machine at work doesn't check in until it is done.
    """
    if phase not in PHASES:
        raise Invalid(f"phase must be one of {', '.join(PHASES)}.", field="phase")
    hook = hook and {key: text_input.head(text, maximum=limits.HOOK_TEXT_LENGTH) for key, text in hook.items()}
    reported: dict[str, Any] = {"progress": checked_progress(progress), "lease_until": leases.until()}
    endpoint_presence.seen(endpoint)
    held = Operation.objects.lease_live().filter(pk=operation_id, endpoint=endpoint, lease_token=lease_token)
    with transaction.atomic():
        if phase == "applying":
            kept = transitions.begin_applying(held, **reported) or held.update(hook=hook, **reported)
        else:  # one that comes late, from before pacman was started, only extends the lease
            leased = held.filter(status=OperationStatus.LEASED)
            kept = leased.update(hook=hook, **reported) or held.update(lease_until=leases.until())
        if not kept:
            row_locks.operation_of(endpoint, operation_id)
            raise LeaseLost(_LEASE_LOST)
    return row_locks.operation(operation_id)


def finish(
    *,
    operation_id: uuid.UUID,
    endpoint: Endpoint,
    lease_token: uuid.UUID,
    outcome: str,
    seq: int,
    state: str,
    code: str = "",
    message: str = "",
    hint: str | None = None,
    log_tail: str = "",
) -> Operation:
    """Record the result, and the state (a digest) that it led to. A repeat returns the stored operation.

    Whether it succeeded is decided by `state`, and by a `code` that says that files differ from their packages, or that
    health commands failed; `outcome` is only kept. An operation that failed for a reason that will pass is queued again
    (`retries`). Raises NotFound, LeaseLost, Invalid, StateUnknown (the state was not uploaded).
    """
    result = operation_results.agent_result(outcome, code=code, message=message, hint=hint, log_tail=log_tail)
    seq = reports.checked_seq(seq)
    endpoint_presence.notice_return(endpoint)
    with transaction.atomic():
        endpoint = row_locks.lock_endpoint(endpoint)
        share_content()
        operation = row_locks.operation_of(endpoint, operation_id)
        if not operation.is_claimed and operation.result_token == lease_token:
            return operation
        if not Operation.objects.lease_live().filter(pk=operation_id, lease_token=lease_token).exists():
            raise LeaseLost(_LEASE_LOST)
        if not State.objects.filter(pk=state).exists():
            raise StateUnknown("Upload the state that the result names first.")
        _end(operation, result, lease_token=lease_token, state=state)
        reports.record(endpoint, seq=seq, state=state, cause=EndpointState.Cause.OPERATION)
    return row_locks.operation(operation_id)


def _end(operation: Operation, result: dict[str, object], *, lease_token: uuid.UUID, state: str) -> None:
    good = state == operation.target_state_id and result["code"] not in (FILES_DIFFER, *UNHEALTHY)
    status = OperationStatus.SUCCEEDED if good else OperationStatus.FAILED
    actor = f"endpoint:{operation.endpoint.name}"
    if status == OperationStatus.FAILED:
        if retries.queue_later(operation, result, actor=actor, state=state, result_token=lease_token):
            return
        result = result | {"difference": operation_results.difference_to(operation, state)}
        result["code"] = result["code"] or "state_differs"
    ended = transitions.end(
        operation, status=status, actor=actor, result=result, result_token=lease_token, end_state=state
    )
    if not ended:
        raise LeaseLost(_LEASE_LOST)


def probe() -> None:
    """Prove that this part of the fleet can work: bounded reads of its tables. Raises DatabaseError, or FleetError."""
    clock.now()
    Operation.objects.order_by("pk").values_list("pk", "status", "lease_until", "deadline").first()
    overdue = leases.overdue_leases()
    if overdue:  # late is not broken: every agent can still claim
        logger.warning("%s leases ran out over 10 minutes ago and were not queued again", overdue)
