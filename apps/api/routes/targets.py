"""Targets of pools: set, promoted, gone back to, listed. Every change is a new revision."""

from ninja import Router, Status

from apps.api.auth import ENDPOINT, OPERATOR, VIEWER, ApiRequest
from apps.api.fields import Name, PathNumber
from apps.api.lookups import endpoint_named, pool_named
from apps.api.openapi import refuses
from apps.api.pagination import CursorText, Limit, Page, paginate
from apps.api.schemas.pools import (
    REVISION_RELATED,
    GoBackIn,
    PromoteIn,
    RevisionOut,
    TargetIn,
    revision_out,
)
from apps.fleet import pool_manager
from apps.fleet.exceptions import Forbidden, NotFound
from apps.fleet.models import Endpoint, Pool, TargetRevision

router = Router()


@router.get("/pools/{name}/targets", response=Page[RevisionOut], auth=VIEWER, summary="List target revisions")
def list_targets(request: ApiRequest, name: Name, limit: Limit = 50, cursor: CursorText = None) -> Page[RevisionOut]:
    """Newest first."""
    rows = TargetRevision.objects.select_related(*REVISION_RELATED).filter(pool=pool_named(name))
    return paginate(rows, order=("-number",), limit=limit, cursor=cursor, render=revision_out)


@router.get("/pools/{name}/targets/{number}", response=RevisionOut, auth=VIEWER, summary="Get a target revision")
def get_target(request: ApiRequest, name: Name, number: PathNumber) -> RevisionOut:
    rows = TargetRevision.objects.select_related(*REVISION_RELATED)
    revision = rows.filter(pool=pool_named(name), number=number).first()
    if revision is None:
        raise NotFound("There is no such revision.")
    return revision_out(revision)


@router.post(
    "/pools/{name}/targets",
    response={200: RevisionOut, 201: RevisionOut},
    auth=[*OPERATOR, *ENDPOINT],
    summary="Set the target from an endpoint",
    openapi_extra=refuses("target_changed", "state_unknown", "unsound_source", "conflict"),
)
def set_target(request: ApiRequest, name: Name, payload: TargetIn) -> Status[RevisionOut]:
    """201, or 200 with the present revision when it has the same packages from the same repositories already.

    An endpoint may do it for itself and its own pool, where the pool's policy allows.
    """
    pool, endpoint = pool_named(name), endpoint_named(payload.endpoint)
    _check_endpoint_may(request.auth.endpoint, endpoint, pool)
    revision, new = pool_manager.set_target(
        pool=pool,
        endpoint=endpoint,
        actor=request.auth.actor,
        expected_number=payload.expected_number,
        comment=payload.comment,
        force=payload.force,
    )
    return Status(201 if new else 200, revision_out(revision))


def _check_endpoint_may(own: Endpoint | None, endpoint: Endpoint, pool: Pool) -> None:
    if own is None:
        return
    if own.pk != endpoint.pk or own.pool_id != pool.pk:
        raise Forbidden("An endpoint may set the target of its own pool, from itself.")
    if not pool.endpoints_may_set_target:
        raise Forbidden("The pool's policy doesn't let endpoints set its target.")


@router.post(
    "/pools/{name}/go-back",
    response={201: RevisionOut},
    auth=OPERATOR,
    summary="Go back to a revision",
    openapi_extra=refuses("target_changed"),
)
def go_back(request: ApiRequest, name: Name, payload: GoBackIn) -> Status[RevisionOut]:
    """Makes a new revision with the state of an old one."""
    revision = pool_manager.go_back(
        pool=pool_named(name),
        number=payload.number,
        actor=request.auth.actor,
        expected_number=payload.expected_number,
        comment=payload.comment,
    )
    return Status(201, revision_out(revision))


@router.post(
    "/pools/{name}/promote",
    response={201: RevisionOut},
    auth=OPERATOR,
    summary="Promote another pool's target",
    openapi_extra=refuses("target_changed", "no_target"),
)
def promote(request: ApiRequest, name: Name, payload: PromoteIn) -> Status[RevisionOut]:
    """Makes a new revision with the present target of the pool `source`."""
    revision = pool_manager.promote(
        pool=pool_named(name),
        source=pool_named(payload.source),
        actor=request.auth.actor,
        expected_number=payload.expected_number,
        comment=payload.comment,
    )
    return Status(201, revision_out(revision))
