"""What is done with a whole pool: syncing all of it, and comparing what its endpoints could install."""

from collections.abc import Iterable

from ninja import Router

from apps.api.auth import OPERATOR, VIEWER, ApiRequest
from apps.api.fields import Name
from apps.api.lookups import pool_named
from apps.api.openapi import refuses
from apps.api.schemas.analysis import AnalysisOut
from apps.api.schemas.endpoints import RefusalOut, RefusalsOut, RemovalOut
from apps.api.schemas.pools import BulkSyncIn, BulkSyncItem, BulkSyncOut
from apps.fleet import analysis, protection, status, sync_coordinator, time_limit
from apps.fleet.exceptions import AlreadyInSync, FleetError
from apps.fleet.models import Endpoint

router = Router()
# A batch ends early when it has used up this part of the time that a request has; `next` says where to go on.
TIME_SHARE = 0.5


@router.post("/pools/{name}/sync", response=BulkSyncOut, auth=OPERATOR, summary="Queue a sync for all that need one")
def sync_pool(request: ApiRequest, name: Name, payload: BulkSyncIn) -> BulkSyncOut:
    """For every endpoint of the pool that isn't in sync, offline ones too. Repeating it is safe."""
    rows = Endpoint.objects.filter(pool=pool_named(name)).select_related("pool__target").order_by("name")
    if payload.after is not None:
        rows = rows.filter(name__gt=payload.after)
    found = list(rows[: payload.limit + 1])
    batch = found[: payload.limit]
    items: list[BulkSyncItem] = []
    done = 0
    for item in _sync(batch, request.auth.actor):
        items += [item] if item else []
        done += 1
        if time_limit.spent() > TIME_SHARE:
            break
    return BulkSyncOut(
        items=items,
        queued=sum(item.operation is not None for item in items),
        in_sync=done - len(items),
        next=batch[done - 1].name if done < len(found) else None,
    )


def _sync(endpoints: list[Endpoint], actor: str) -> Iterable[BulkSyncItem | None]:
    """For each endpoint what became of it, None when it is in sync. A refusal of one doesn't stop the others."""
    statuses = status.by_packages(endpoints)
    for endpoint in endpoints:
        if statuses[endpoint.pk] == status.Status.IN_SYNC:
            yield None
            continue
        try:
            operation, _ = sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor=actor)
        except AlreadyInSync:
            yield None
        except FleetError as refusal:
            yield BulkSyncItem(endpoint=endpoint.name, operation=None, code=refusal.code, detail=str(refusal))
        else:
            yield BulkSyncItem(endpoint=endpoint.name, operation=operation.id, code=None, detail=None)


@router.get("/pools/{name}/refusals", response=RefusalsOut, auth=VIEWER, summary="Which endpoints would refuse a sync")
def refusals(request: ApiRequest, name: Name) -> RefusalsOut:
    """The endpoints of the pool whose agents would refuse its current target, and what they would not remove."""
    return RefusalsOut(
        items=[
            RefusalOut(endpoint=one.endpoint, refused=[RemovalOut(**removal._asdict()) for removal in one.removals])
            for one in protection.refusing(pool_named(name))
        ]
    )


@router.get(
    "/pools/{name}/analysis",
    response=AnalysisOut,
    auth=VIEWER,
    summary="Compare the repositories of a pool's endpoints",
    openapi_extra=refuses("feature_disabled"),
)
def analyse_pool(request: ApiRequest, name: Name) -> AnalysisOut:
    """What all of them offer, where their versions differ, and what each has of the target."""
    return AnalysisOut.model_validate(analysis.analyse(pool=pool_named(name)))
