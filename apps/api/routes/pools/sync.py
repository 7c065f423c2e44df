"""Syncs a whole pool, and says which of its endpoints would refuse that. The rules are in apps.fleet.pool_sync."""

from itertools import takewhile

from ninja import Router

from apps.api.access.auth import OPERATOR, VIEWER
from apps.api.requests.fields import Name
from apps.api.requests.lookups import pool_named
from apps.api.requests.principal import ApiRequest
from apps.api.schemas.endpoints import RefusalOut, RefusalsOut, RemovalOut
from apps.api.schemas.pools.pools import BulkSyncIn, BulkSyncItem, BulkSyncOut
from apps.fleet import batches, pool_sync, protection
from apps.fleet.batches import BatchItem
from apps.fleet.exceptions import AlreadyInSync
from apps.fleet.models import Endpoint

router = Router()


@router.post("/pools/{name}/sync", response=BulkSyncOut, auth=OPERATOR, summary="Queue a sync for all that need one")
def sync_pool(request: ApiRequest, name: Name, payload: BulkSyncIn) -> BulkSyncOut:
    """For every endpoint of the pool that isn't in sync, even if it is offline. Repeating it is safe.

    It ends early when the request's time is used up; `next` says where to continue.
    """
    rows = Endpoint.objects.filter(pool=pool_named(name)).select_related("pool__target").order_by("name")
    if payload.after is not None:
        rows = rows.filter(name__gt=payload.after)
    found = list(rows[: payload.limit + 1])
    batch = found[: payload.limit]
    cases = pool_sync.sync_each(batch, actor=request.auth.actor)
    reached = list(takewhile(lambda case: case.code != batches.NOT_REACHED, cases))
    items = [_bulk_sync_item(case) for case in reached if case.code != AlreadyInSync.code]
    return BulkSyncOut(
        items=items,
        queued=sum(item.operation is not None for item in items),
        in_sync=len(reached) - len(items),
        next=batch[len(reached) - 1].name if len(reached) < len(found) else None,
    )


def _bulk_sync_item(case: BatchItem) -> BulkSyncItem:
    detail = case.refusal or case.detail or None
    return BulkSyncItem(endpoint=case.endpoint, operation=case.operation, code=case.code or None, detail=detail)


@router.get("/pools/{name}/refusals", response=RefusalsOut, auth=VIEWER, summary="Which endpoints would refuse a sync")
def refusals(request: ApiRequest, name: Name) -> RefusalsOut:
    """The endpoints of the pool whose agents would refuse its current target, and what they would not remove."""
    return RefusalsOut(
        items=[
            RefusalOut(endpoint=one.endpoint, refused=[RemovalOut(**removal._asdict()) for removal in one.removals])
            for one in protection.refusing(pool_named(name))
        ]
    )
