"""Pools: groups of endpoints with one target. Writes are apps.fleet.pool_manager's."""

from django.db.models import Count, QuerySet
from ninja import Router, Status

from apps.api.auth import OPERATOR, VIEWER, ApiRequest
from apps.api.fields import Name
from apps.api.lookups import pool_named
from apps.api.openapi import refuses
from apps.api.pagination import CursorText, Limit, Page, paginate
from apps.api.schemas.pools import PoolChange, PoolIn, PoolOut, pool_out
from apps.fleet import pool_manager
from apps.fleet.models import Pool

router = Router()


def _rows() -> QuerySet[Pool]:
    return Pool.objects.select_related("target").annotate(endpoint_count=Count("endpoints"))


def _answer(pool: Pool) -> PoolOut:
    return pool_out(_rows().get(pk=pool.pk))


@router.get("/pools", response=Page[PoolOut], auth=VIEWER, summary="List pools by name")
def list_pools(request: ApiRequest, limit: Limit = 50, cursor: CursorText = None) -> Page[PoolOut]:
    return paginate(_rows(), order=("name",), limit=limit, cursor=cursor, render=pool_out)


@router.post(
    "/pools",
    response={201: PoolOut},
    auth=OPERATOR,
    summary="Create a pool",
    openapi_extra=refuses("invalid_name", "name_taken"),
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
    openapi_extra=refuses("invalid_name", "name_taken"),
)
def change_pool(request: ApiRequest, name: Name, payload: PoolChange) -> PoolOut:
    """What is left out stays as it is."""
    changes = payload.model_dump(exclude_unset=True)
    return _answer(pool_manager.change_pool(pool=pool_named(name), actor=request.auth.actor, **changes))


@router.delete(
    "/pools/{name}",
    response={204: None},
    auth=OPERATOR,
    summary="Delete an empty pool",
    openapi_extra=refuses("pool_not_empty"),
)
def delete_pool(request: ApiRequest, name: Name) -> Status[None]:
    """With its target revisions."""
    pool_manager.delete_pool(pool=pool_named(name), actor=request.auth.actor)
    return Status(204, None)
