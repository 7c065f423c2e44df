"""Operations: people and agents ask for them, agents carry them out. apps.fleet.sync_coordinator has the rules."""

from django.http import HttpResponse
from ninja import Query, Router, Status

from apps.api.access.auth import ENDPOINT, OPERATOR, VIEWER, endpoint_of
from apps.api.description.openapi import refuses
from apps.api.requests.fields import Id, NoFields
from apps.api.requests.lookups import endpoint_named, operation_with
from apps.api.requests.pagination import CursorText, Limit, Page, paginate
from apps.api.requests.principal import ApiRequest
from apps.api.requests.problems import FieldError, RequestRefused
from apps.api.routes.agent.answers import claim_out
from apps.api.schemas.filters import OperationQuery
from apps.api.schemas.operation_detail import OperationDetail, as_answer, operation_detail
from apps.api.schemas.operations import (
    ClaimIn,
    ClaimOut,
    FinishedOut,
    HeartbeatIn,
    HeartbeatOut,
    OperationIn,
    OperationOut,
    ResultIn,
    RunAgainIn,
    finished_out,
    operation_out,
)
from apps.fleet import rerun, sync_coordinator
from apps.fleet.exceptions import Forbidden, NotFound
from apps.fleet.models import Endpoint
from apps.fleet.models.operations import OperationStatus

router = Router()
WHY_NONE = (
    "no_pool",
    "no_target",
    "state_unknown",
    "databases_unreadable",
    "token_shared",
    "already_in_sync",
    "nothing_to_revert",
    "operation_active",
    "idempotency_key_reused",
)


@router.get("/operations", response=Page[OperationOut], auth=VIEWER, summary="List operations, newest first")
def list_operations(
    request: ApiRequest, filters: Query[OperationQuery], limit: Limit = 50, cursor: CursorText = None
) -> Page[OperationOut]:
    chosen = filters.filter()
    return paginate(chosen.rows(), order=chosen.order(), limit=limit, cursor=cursor, render=operation_out)


@router.post(
    "/operations",
    response={200: OperationOut, 201: OperationOut},
    auth=[*OPERATOR, *ENDPOINT],
    summary="Queue an operation",
    openapi_extra=refuses("not_found", *WHY_NONE),
)
def create_operation(request: ApiRequest, payload: OperationIn) -> Status[OperationOut]:
    """201, or 200 with the operation that the same `idempotency_key` has already made."""
    operation, new = sync_coordinator.create_operation(
        endpoint=_subject(request, payload.endpoint),
        kind=payload.kind,
        actor=request.auth.actor,
        idempotency_key=payload.idempotency_key,
    )
    return Status(201 if new else 200, operation_out(operation))


def _subject(request: ApiRequest, name: str | None) -> Endpoint:
    """The endpoint that an operation is for; an endpoint may ask only for itself."""
    own = request.auth.endpoint
    if own is not None:
        if name not in (None, own.name):
            raise Forbidden("An endpoint's token is for operations of that endpoint.")
        return own
    if name is None:
        raise RequestRefused("invalid_request", errors=[FieldError(loc=["body", "endpoint"], message="Field required")])
    return endpoint_named(name)


@router.get(
    "/operations/{operation_id}",
    response=OperationDetail,
    auth=[*VIEWER, *ENDPOINT],
    by_alias=True,
    summary="Get an operation",
)
def get_operation(request: ApiRequest, operation_id: Id) -> HttpResponse:
    """With its packages before and after, and what it waits for. An endpoint sees only its own, without these."""
    operation = operation_with(operation_id)
    own = request.auth.endpoint
    if own is not None and operation.endpoint_id != own.pk:
        raise NotFound("There is no such operation.")
    return operation_detail(operation) if own is None else as_answer(operation_out(operation).model_dump())


@router.post(
    "/operations/{operation_id}/cancel",
    response=OperationOut,
    auth=OPERATOR,
    summary="Cancel an operation before pacman is started",
    openapi_extra=refuses("not_cancellable"),
)
def cancel_operation(request: ApiRequest, operation_id: Id, payload: NoFields | None = None) -> OperationOut:
    """Possible while it is queued or leased: an agent that has it stops. Once it is applying, it runs to its end."""
    operation = sync_coordinator.cancel(operation=operation_with(operation_id), actor=request.auth.actor)
    return operation_out(operation)


@router.post(
    "/operations/{operation_id}/run-again",
    response={200: OperationOut, 201: OperationOut},
    auth=OPERATOR,
    summary="Run an operation again",
    openapi_extra=refuses(*WHY_NONE, "conflict"),
)
def run_operation_again(
    request: ApiRequest, operation_id: Id, payload: RunAgainIn | None = None
) -> Status[OperationOut]:
    """Makes a new one of the same kind: a sync to the current target, or a revert to the same state. Possible once this
    one has ended, or while it waits for its next try, when the new one takes its place. 200: the `idempotency_key` has
    already made it."""
    operation, new = rerun.run_again(
        operation=operation_with(operation_id),
        actor=request.auth.actor,
        idempotency_key=payload.idempotency_key if payload else None,
    )
    return Status(201 if new else 200, operation_out(operation))


@router.post(
    "/operations/{operation_id}/claim",
    response=ClaimOut,
    auth=ENDPOINT,
    summary="Lease an operation",
    openapi_extra=refuses("not_claimable", "base_changed"),
)
def claim_operation(request: ApiRequest, operation_id: Id, payload: ClaimIn) -> ClaimOut:
    """A repeat with the same `lease_token` gets the same lease again."""
    claim = sync_coordinator.claim(
        operation_id=operation_id,
        endpoint=endpoint_of(request),
        lease_token=payload.lease_token,
        state=payload.state,
    )
    return claim_out(claim)


@router.post(
    "/operations/{operation_id}/heartbeat",
    response=HeartbeatOut,
    auth=ENDPOINT,
    summary="Keep a lease",
    openapi_extra=refuses("lease_lost"),
)
def keep_lease(request: ApiRequest, operation_id: Id, payload: HeartbeatIn) -> HeartbeatOut:
    """`lease_lost` means: stop, unless pacman is already running, which is never killed."""
    operation = sync_coordinator.heartbeat(
        operation_id=operation_id,
        endpoint=endpoint_of(request),
        lease_token=payload.lease_token,
        phase=payload.phase,
        hook=payload.hook.model_dump() if payload.hook else None,
        progress=payload.progress.model_dump() if payload.progress else None,
    )
    return HeartbeatOut(lease_until=operation.lease_until, status=OperationStatus(operation.status))


@router.post(
    "/operations/{operation_id}/result",
    response=FinishedOut,
    auth=ENDPOINT,
    summary="Report the result of an operation",
    openapi_extra=refuses("lease_lost", "state_unknown"),
)
def finish_operation(request: ApiRequest, operation_id: Id, payload: ResultIn) -> FinishedOut:
    """This is also a report. `state` decides whether it succeeded, not `outcome`. A repeat gets the stored answer."""
    operation = sync_coordinator.finish(
        operation_id=operation_id,
        endpoint=endpoint_of(request),
        lease_token=payload.lease_token,
        outcome=payload.outcome,
        seq=payload.seq,
        state=payload.state,
        code=payload.code,
        message=payload.message,
        hint=payload.hint,
        log_tail=payload.log_tail,
    )
    return finished_out(operation)
