"""Endpoints: the machines, their pools, their history and their tokens."""

from typing import Annotated

from django.http import HttpResponse
from ninja import Query, Router, Status

from apps.api.access.auth import ENDPOINT, OPERATOR, VIEWER
from apps.api.description.openapi import COMPARES, refuses
from apps.api.requests.fields import Name, NoFields
from apps.api.requests.lookups import endpoint_named, pool_named
from apps.api.requests.pagination import CursorText, Limit, Page, page_of
from apps.api.requests.principal import ApiRequest
from apps.api.schemas.differences import sync_diff_out
from apps.api.schemas.endpoint_detail import endpoint_detail
from apps.api.schemas.endpoints import (
    AssignIn,
    DiffOut,
    EndpointChange,
    EndpointDetail,
    EndpointOut,
    EndpointTokenOut,
    endpoint_fields,
)
from apps.api.schemas.filters import EndpointQuery, Moment
from apps.api.schemas.history import HistoryOut, history_out
from apps.fleet import endpoint_manager, fleet_statuses, last_results, paused_automatic_sync
from apps.fleet.exceptions import Forbidden
from apps.fleet.models import Endpoint, EndpointState
from apps.fleet.status import of as statuses_of

router = Router(by_alias=True)


@router.get(
    "/endpoints",
    response=Page[EndpointOut],
    auth=VIEWER,
    summary="List endpoints",
    openapi_extra=refuses("comparison_too_long"),
)
def list_endpoints(
    request: ApiRequest, filters: Query[EndpointQuery], limit: Limit = 50, cursor: CursorText = None
) -> Page[EndpointOut]:
    found, following = endpoint_rows(filters, limit=limit, cursor=cursor)
    return Page(items=endpoints_out(found), next=following)


def endpoint_rows(filters: EndpointQuery, *, limit: int, cursor: str | None) -> tuple[list[Endpoint], str | None]:
    """The endpoints of one page, and the cursor of the next one."""
    chosen = filters.filter()
    rows = chosen.rows()
    if filters.status is not None:
        rows = fleet_statuses.with_status(rows, filters.status)
    return page_of(rows, order=chosen.order(), limit=limit, cursor=cursor)


def endpoints_out(found: list[Endpoint]) -> list[EndpointOut]:
    known, results = statuses_of(found), last_results.short([endpoint.pk for endpoint in found])
    return [
        EndpointOut.model_validate(endpoint_fields(endpoint, known[endpoint.pk], results.get(endpoint.pk)))
        for endpoint in found
    ]


@router.get("/endpoints/{name}", response=EndpointDetail, auth=VIEWER, summary="Get an endpoint")
def get_endpoint(request: ApiRequest, name: Name) -> EndpointDetail:
    return endpoint_detail(endpoint_named(name))


@router.patch(
    "/endpoints/{name}",
    response=EndpointDetail,
    auth=OPERATOR,
    summary="Change an endpoint's rights",
    openapi_extra=refuses("conflict"),
)
def change_endpoint(request: ApiRequest, name: Name, payload: EndpointChange) -> EndpointDetail:
    """Whether it may make its own packages the target of its pool."""
    endpoint = endpoint_named(name)
    if payload.may_set_targets is not None:
        endpoint_manager.change_rights(
            endpoint=endpoint, may_set_targets=payload.may_set_targets, actor=request.auth.actor
        )
    return endpoint_detail(endpoint_named(name))


@router.put(
    "/endpoints/{name}/pool",
    response=EndpointDetail,
    auth=OPERATOR,
    summary="Assign an endpoint to a pool",
    openapi_extra=refuses("operation_active"),
)
def assign_endpoint(request: ApiRequest, name: Name, payload: AssignIn) -> EndpointDetail:
    """With `pool` null, it is in no pool."""
    pool = pool_named(payload.pool) if payload.pool is not None else None
    endpoint_manager.assign(endpoint=endpoint_named(name), pool=pool, actor=request.auth.actor)
    return endpoint_detail(endpoint_named(name))


@router.post("/endpoints/{name}/resume", response=EndpointDetail, auth=OPERATOR, summary="Resume automatic sync")
def resume_endpoint(request: ApiRequest, name: Name, payload: NoFields | None = None) -> EndpointDetail:
    """If it rests (`resting`), it tries again at the next check-in. Otherwise nothing changes."""
    paused_automatic_sync.resume(endpoint=endpoint_named(name), actor=request.auth.actor)
    return endpoint_detail(endpoint_named(name))


@router.delete(
    "/endpoints/{name}",
    response={204: None},
    auth=OPERATOR,
    summary="Delete an endpoint",
    openapi_extra=refuses("operation_active"),
)
def delete_endpoint(request: ApiRequest, name: Name) -> Status[None]:
    """Its history and operations are deleted too. The machine itself isn't touched; its token is no longer valid."""
    endpoint_manager.delete_endpoint(endpoint=endpoint_named(name), actor=request.auth.actor)
    return Status(204, None)


@router.post(
    "/endpoints/{name}/token", response=EndpointTokenOut, auth=OPERATOR, summary="Give an endpoint a new token"
)
def rotate_endpoint_token(request: ApiRequest, name: Name, payload: NoFields | None = None) -> EndpointTokenOut:
    """The old one is invalid at once; only this answer has the new one."""
    endpoint = endpoint_named(name)
    return EndpointTokenOut(name=name, token=endpoint_manager.rotate_token(endpoint=endpoint, actor=request.auth.actor))


@router.delete("/endpoints/{name}/token", response={204: None}, auth=OPERATOR, summary="Revoke an endpoint's token")
def revoke_endpoint_token(request: ApiRequest, name: Name) -> Status[None]:
    """Locks the machine out until it gets a new token, and takes its right to set targets."""
    endpoint_manager.revoke_token(endpoint=endpoint_named(name), actor=request.auth.actor)
    return Status(204, None)


@router.get(
    "/endpoints/{name}/history",
    response=Page[HistoryOut],
    auth=VIEWER,
    summary="List an endpoint's states, and what changed",
    openapi_extra=refuses("comparison_too_long"),
)
def list_history(
    request: ApiRequest,
    name: Name,
    since: Annotated[Moment | None, Query(None, description="A day (UTC) or a time.")] = None,
    changes: Annotated[bool, Query(False, description="With the packages that changed.")] = False,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[HistoryOut]:
    """Newest first; as many as the pool's `retention` keeps."""
    history = EndpointState.objects.filter(endpoint=endpoint_named(name))
    rows = history.filter(at__gte=since) if since else history
    found, following = page_of(rows, order=("-seq",), limit=limit, cursor=cursor)
    before = history.filter(seq__lt=found[-1].seq).order_by("-seq").first() if found else None
    return Page(items=history_out(found, before, with_changes=changes), next=following)


@router.get(
    "/endpoints/{name}/diff",
    response=DiffOut,
    auth=[*VIEWER, *ENDPOINT],
    summary="What a sync of the endpoint would do",
    openapi_extra=refuses(
        "no_pool", "no_target", "state_unknown", "databases_unreadable", "token_shared", "conflict", *COMPARES
    ),
)
def diff_endpoint(
    request: ApiRequest,
    name: Name,
    fetch: Annotated[bool, Query(False, description="Add where to get each package.")] = False,
) -> HttpResponse:
    """An endpoint may ask for its own. `kept` is what the sync would leave alone."""
    own = request.auth.endpoint
    if own is not None and own.name != name:
        raise Forbidden("An endpoint's token is for that endpoint.")
    return sync_diff_out(own or endpoint_named(name), fetch=fetch)
