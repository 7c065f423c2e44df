"""Pools: groups of endpoints with one target. apps.fleet.pool_manager does the writes."""

from django.db.models import Count, QuerySet
from ninja import Router, Status

from apps.api.access.auth import OPERATOR, VIEWER
from apps.api.description.openapi import refuses
from apps.api.requests.fields import Name
from apps.api.requests.lookups import pool_named
from apps.api.requests.pagination import CursorText, Limit, Page, page_of
from apps.api.requests.principal import ApiRequest
from apps.api.schemas.pools.pools import PoolChange, PoolIn, PoolOut, pool_out
from apps.api.schemas.pools.revisions import ConfirmIn
from apps.fleet import pool_alarms, pool_manager
from apps.fleet.models import Pool

router = Router()


def _rows() -> QuerySet[Pool]:
    found = Pool.objects.select_related("target").defer("target__unmanaged", "target__repositories")
    return found.annotate(endpoint_count=Count("endpoints"))


def _answer(pool: Pool) -> PoolOut:
    found = _rows().get(pk=pool.pk)
    return pool_out(found, pool_alarms.of([found])[found.pk])


@router.get("/pools", response=Page[PoolOut], auth=VIEWER, summary="List pools by name")
def list_pools(request: ApiRequest, limit: Limit = 50, cursor: CursorText = None) -> Page[PoolOut]:
    found, following = page_of(_rows(), order=("name",), limit=limit, cursor=cursor)
    alarms = pool_alarms.of(found)
    return Page(items=[pool_out(pool, alarms[pool.pk]) for pool in found], next=following)


@router.post(
    "/pools",
    response={201: PoolOut},
    auth=OPERATOR,
    summary="Create a pool",
    openapi_extra=refuses("invalid_name", "invalid_pattern", "name_taken"),
)
def create_pool(request: ApiRequest, payload: PoolIn) -> Status[PoolOut]:
    return Status(201, _answer(pool_manager.create_pool(actor=request.auth.actor, **payload.model_dump())))


@router.get("/pools/{name}", response=PoolOut, auth=VIEWER, summary="Get a pool")
def get_pool(request: ApiRequest, name: Name) -> PoolOut:
    return _answer(pool_named(name))


@router.patch(
    "/pools/{name}",
    response=PoolOut,
    auth=OPERATOR,
    summary="Change a pool",
    openapi_extra=refuses("invalid_name", "invalid_pattern", "name_taken"),
)
def change_pool(request: ApiRequest, name: Name, payload: PoolChange) -> PoolOut:
    """What is left out stays as it is."""
    changes = payload.model_dump(exclude_unset=True)
    return _answer(pool_manager.change_pool(pool=pool_named(name), actor=request.auth.actor, **changes))


@router.post(
    "/pools/{name}/confirm",
    response=PoolOut,
    auth=OPERATOR,
    summary="Confirm the target after a restore",
    openapi_extra=refuses("target_changed"),
)
def confirm_target(request: ApiRequest, name: Name, payload: ConfirmIn) -> PoolOut:
    """Automatic sync continues in a pool with the alarm `unknown_revision`. A repeat changes nothing.

    The target becomes a new revision if an endpoint has seen its number or a higher one.
    """
    pool_manager.confirm(pool=pool_named(name), actor=request.auth.actor, expected_number=payload.expected_number)
    return _answer(pool_named(name))


@router.delete(
    "/pools/{name}",
    response={204: None},
    auth=OPERATOR,
    summary="Delete an empty pool",
    openapi_extra=refuses("pool_not_empty"),
)
def delete_pool(request: ApiRequest, name: Name) -> Status[None]:
    """Its target revisions are deleted too."""
    pool_manager.delete_pool(pool=pool_named(name), actor=request.auth.actor)
    return Status(204, None)
