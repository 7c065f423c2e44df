"""Operations: creation, leases, results. Every transition is a guarded UPDATE; 0 rows changed is a lost race.

It must not know HTTP. Time is the database's clock. Whoever creates, claims or finishes locks the endpoint's row first.
"""

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from . import (
    audit,
    clock,
    goals,
    judgement,
    leases,
    obsolete,
    presence,
    queueing,
    reports,
    retrying,
    rows,
    sources,
    texts,
)
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
from .leases import EXPIRED, LEASE_SECONDS, LIVE, expire_leases
from .locks import share_content
from .models import Endpoint, EndpointState, Operation, OperationKind, OperationStatus, State
from .models.operations import CANCELLABLE, FILES_DIFFER, LEASED, MAX_ATTEMPTS
from .progress import checked as checked_progress
from .sources import Fetch

__all__ = [
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
OUTCOMES = ("succeeded", "failed")
PHASES = ("leased", "applying")


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
    """Queue an operation; (operation, False) when this key made it before. `goal_of`: instead of the kind's own goal.

    Raises NoPool, NoTarget, StateUnknown, AlreadyInSync, NothingToRevert, OperationActive, IdempotencyKeyReused,
    Invalid (an unknown kind, a key that is too long), Conflict (the target is for another architecture).
    """
    if kind not in OperationKind.values:
        raise Invalid(f"kind must be one of {', '.join(OperationKind.values)}.", field="kind")
    if idempotency_key is not None:
        texts.line(idempotency_key, field="idempotency_key", maximum=200)
    try:
        with transaction.atomic():
            endpoint = rows.lock_endpoint(endpoint)
            share_content()
            made = _made_before(endpoint, kind, idempotency_key)
            if made:
                return made, False
            active = Operation.objects.with_names().filter(endpoint=endpoint).active().first()
            if active and not retrying.make_way(active, actor=actor):
                raise OperationActive(f"An operation of {endpoint.name} is under way.")
            goal = (goal_of or GOALS[kind])(endpoint)
            return queueing.queue(endpoint, kind=kind, goal=goal, actor=actor, idempotency_key=idempotency_key), True
    except (
        IntegrityError
    ):  # the same key for another endpoint at the same moment; the endpoint's row lock covers the rest
        made = _made_before(endpoint, kind, idempotency_key)
        if made is None:
            raise
        return made, False


def _made_before(endpoint: Endpoint, kind: str, key: str | None) -> Operation | None:
    """The operation that this key made. Raises IdempotencyKeyReused when it was for something else."""
    made = Operation.objects.with_names().filter(idempotency_key=key).first() if key is not None else None
    if made and (made.endpoint_id, made.kind) != (endpoint.pk, kind):
        raise IdempotencyKeyReused("This idempotency key was used for another request.")
    return made


def cancel(*, operation: Operation, actor: str) -> Operation:
    """Cancel an operation whose pacman hasn't been started. Raises NotCancellable from then on: pacman is never killed.

    An agent that has it loses its lease: its next heartbeat says so, and it asks for that before it starts pacman.
    A repeat on a cancelled one returns it.
    """
    result = judgement.server_result("cancelled", "cancelled", f"Cancelled by {audit.words(actor)}.")
    for _ in range(MAX_ATTEMPTS + 1):  # the lease may be given or run out in the meantime
        with transaction.atomic():
            found = rows.operation(operation.pk)
            if found.status in CANCELLABLE:
                judgement.end(found, status=OperationStatus.CANCELLED, actor=actor, result=result)
            found = rows.operation(operation.pk)
        if found.status not in CANCELLABLE:
            break
    if found.status != OperationStatus.CANCELLED:
        raise NotCancellable(f"The operation is {found.status}: it can be cancelled only before pacman is started.")
    return found


def claim(*, operation_id: uuid.UUID, endpoint: Endpoint, lease_token: uuid.UUID, state: str) -> Claim:
    """Lease the operation to the agent with `lease_token`. Raises NotFound, NotClaimable, BaseChanged.

    A repeat with the token that has the lease gets it again, extended. BaseChanged cancels the operation for good.
    """
    presence.seen(endpoint)
    with transaction.atomic():
        operation = rows.operation_of(rows.lock_endpoint(endpoint), operation_id)
        refused = None if _has_lease(operation, lease_token) else _claim(operation, lease_token, state)
        if refused is None:
            held = Operation.objects.filter(pk=operation.pk, status__in=LEASED, lease_token=lease_token)
            held.update(lease_until=leases.until())
    if refused:  # raised out here, so that a cancellation stays
        raise refused
    operation = rows.operation(operation_id)
    return Claim(operation=operation, fetch=sources.fetch(operation))


def _has_lease(operation: Operation, lease_token: uuid.UUID) -> bool:
    return operation.status in LEASED and operation.lease_token == lease_token


def _claim(operation: Operation, lease_token: uuid.UUID, state: str) -> Exception | None:
    """Take the lease if it is to be had; else what to raise."""
    free = Operation.objects.filter(Q(status=OperationStatus.QUEUED) | EXPIRED, deadline__gt=Now())
    free = free.filter(Q(retry_at__isnull=True) | Q(retry_at__lte=Now()))
    if not free.filter(pk=operation.pk, attempt__lt=MAX_ATTEMPTS).exists():
        waits = f" until its next try at {operation.retry_at:%Y-%m-%d %H:%M} UTC" if operation.retry_at else ""
        return NotClaimable(f"The operation can't be claimed: it is {operation.status}{waits}.")
    if state != operation.base_state_id:
        message = "The endpoint is not in the state any more that the operation was made for."
        _cancel_claimed(operation, code="base_changed", message=message)
        return BaseChanged(message)
    if why := obsolete.why(operation):  # queued by the policy at the moment of a pause, or of a new target
        code, message = why
        _cancel_claimed(operation, code=code, message=message)
        return NotClaimable(message)
    changed = free.filter(pk=operation.pk, attempt=operation.attempt).update(
        status=OperationStatus.LEASED,
        lease_token=lease_token,
        lease_until=leases.until(),
        attempt=F("attempt") + 1,
        retry_at=None,
        progress=None,
    )
    return None if changed else NotClaimable("Another agent claimed the operation first.")


def _cancel_claimed(operation: Operation, *, code: str, message: str) -> None:
    result = judgement.server_result("cancelled", code, message)
    actor = f"endpoint:{operation.endpoint.name}"
    judgement.end(operation, status=OperationStatus.CANCELLED, actor=actor, result=result)


def heartbeat(
    *,
    operation_id: uuid.UUID,
    endpoint: Endpoint,
    lease_token: uuid.UUID,
    phase: str,
    hook: dict[str, str] | None = None,
    progress: Mapping[str, Any] | None = None,
) -> Operation:
    """Extend the lease; `phase` "applying" moves the operation there, for good. Raises NotFound, LeaseLost, Invalid.

    `hook` is what pacman is running (name, description, since), None where it does something else; `progress` is how
    far the agent is: the fields of `apps.fleet.progress.Progress`.

    A lease that ran out while applying is taken up again: no other agent can have it, and pacman isn't killed. The
    endpoint is online: a machine at work doesn't check in until it is done.
    """
    if phase not in PHASES:
        raise Invalid(f"phase must be one of {', '.join(PHASES)}.", field="phase")
    how_far = checked_progress(progress)
    presence.seen(endpoint)
    held = Operation.objects.filter(LIVE, pk=operation_id, endpoint=endpoint, lease_token=lease_token)
    leased = held.filter(status=OperationStatus.LEASED)
    told: dict[str, Any] = {"lease_until": leases.until(), "progress": how_far}
    with transaction.atomic():
        if phase == "applying":
            begins = {"status": OperationStatus.APPLYING, "applying_since": Now()}
            taken = leased.update(**begins, **told) or held.update(hook=hook, **told)
        else:  # one that comes late, from before pacman began, extends the lease and tells nothing
            taken = leased.update(hook=hook, **told) or held.update(lease_until=leases.until())
        if not taken:
            rows.operation_of(endpoint, operation_id)
            raise LeaseLost("The lease is not this token's any more.")
    return rows.operation(operation_id)


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
    """Record the result and the state it led to; a repeat returns the stored operation.

    Whether it succeeded is decided by `state`, and by the agent's word that the files of the packages are theirs: the
    outcome is only kept. `hint` says what to do, in one line. What failed for a reason that will pass is queued again
    (`retrying`). Raises NotFound, LeaseLost, Invalid, StateUnknown (the state was not uploaded).
    """
    if outcome not in OUTCOMES:
        raise Invalid(f"outcome must be one of {', '.join(OUTCOMES)}.", field="outcome")
    reports.checked_seq(seq)
    said: dict[str, object] = {
        "outcome": outcome,
        "code": texts.head(code, maximum=100),
        "message": texts.head(message, maximum=2000),
        "log_tail": texts.tail(log_tail, maximum=16_000),
    }
    if hint:
        said["hint"] = texts.head(hint, maximum=1000)
    presence.notice_return(endpoint)
    with transaction.atomic():
        endpoint = rows.lock_endpoint(endpoint)
        share_content()
        operation = rows.operation_of(endpoint, operation_id)
        if operation.status not in LEASED and operation.result_token == lease_token:
            return operation
        if not Operation.objects.filter(LIVE, pk=operation_id, lease_token=lease_token).exists():
            raise LeaseLost("The lease is not this token's any more.")
        if not State.objects.filter(pk=state).exists():
            raise StateUnknown("Upload the state that the result names first.")
        _end(operation, said, lease_token=lease_token, state=state)
        reports.record(endpoint, seq=seq, state=state, cause=EndpointState.Cause.OPERATION)
    return rows.operation(operation_id)


def _end(operation: Operation, said: dict[str, object], *, lease_token: uuid.UUID, state: str) -> None:
    reached = state == operation.target_state_id and said["code"] != FILES_DIFFER
    status = OperationStatus.SUCCEEDED if reached else OperationStatus.FAILED
    result = dict(said)
    actor = f"endpoint:{operation.endpoint.name}"
    if status == OperationStatus.FAILED:
        if retrying.queue_later(operation, result, actor=actor, state=state, result_token=lease_token):
            return
        result["difference"] = judgement.difference_to(operation, state)
        result["code"] = result["code"] or "state_differs"
    if not judgement.end(
        operation, status=status, actor=actor, result=result, result_token=lease_token, end_state=state
    ):
        raise LeaseLost("The lease is not this token's any more.")


def probe() -> None:
    """Prove that this component can work: bounded reads of its tables. Raises DatabaseError, or FleetError."""
    clock.now()
    Operation.objects.order_by("pk").values_list("pk", "status", "lease_until", "deadline").first()
    overdue = leases.overdue_leases()
    if overdue:  # late is not broken: every agent can still claim
        logger.warning("%s leases ran out over 10 minutes ago and were not queued again", overdue)
