"""Targets of pools: set them, promote them, go back to them, list them. Every change is a new revision."""

from typing import Annotated

from django.http import HttpResponse
from ninja import Query, Router, Status
from pydantic import BeforeValidator

from apps.api.access.auth import ENDPOINT, OPERATOR, VIEWER
from apps.api.description.openapi import COMPARES, refuses
from apps.api.requests.fields import MAX_INTEGER, Name, NoFields, PathNumber, decimal
from apps.api.requests.lookups import endpoint_named, pool_named
from apps.api.requests.pagination import CursorText, Limit, Page, paginate
from apps.api.requests.principal import ApiRequest
from apps.api.schemas.pools.revisions import (
    REVISION_DETAIL,
    REVISION_RELATED,
    GoBackIn,
    PromoteIn,
    RevisionDetail,
    RevisionDiffOut,
    RevisionOut,
    RevisionPackagesOut,
    TargetIn,
    revision_detail,
    revision_diff,
    revision_out,
    revision_packages,
)
from apps.fleet import pool_manager
from apps.fleet.exceptions import Forbidden, NoTarget, NotFound
from apps.fleet.models import TargetRevision
from apps.fleet.targets import OWN_TARGET

router = Router(by_alias=True)


@router.get("/pools/{name}/targets", response=Page[RevisionOut], auth=VIEWER, summary="List target revisions")
def list_targets(request: ApiRequest, name: Name, limit: Limit = 50, cursor: CursorText = None) -> Page[RevisionOut]:
    """Newest first."""
    rows = TargetRevision.objects.select_related(*REVISION_RELATED).defer("unmanaged").filter(pool=pool_named(name))
    return paginate(rows, order=("-number",), limit=limit, cursor=cursor, render=revision_out)


def _revision(name: str, number: int) -> TargetRevision:
    rows = TargetRevision.objects.select_related(*REVISION_DETAIL)
    revision = rows.filter(pool=pool_named(name), number=number).first()
    if revision is None:
        raise NotFound("There is no such revision.")
    return revision


@router.get("/pools/{name}/targets/{number}", response=RevisionDetail, auth=VIEWER, summary="Get a target revision")
def get_target(request: ApiRequest, name: Name, number: PathNumber) -> RevisionDetail:
    """With what it leaves alone and why, and the packages that the fleet has more than one file for."""
    return revision_detail(_revision(name, number))


@router.get(
    "/pools/{name}/targets/{number}/packages",
    response=RevisionPackagesOut,
    auth=VIEWER,
    summary="List what a target revision manages",
    openapi_extra=refuses("state_too_large"),
)
def list_target_packages(request: ApiRequest, name: Name, number: PathNumber) -> RevisionPackagesOut:
    """Each package with the file behind it, as the databases of the revision's source had it."""
    return revision_packages(_revision(name, number))


@router.get(
    "/pools/{name}/targets/{number}/diff",
    response=RevisionDiffOut,
    auth=VIEWER,
    summary="Compare two target revisions",
    openapi_extra=refuses("no_target", *COMPARES),
)
def diff_targets(
    request: ApiRequest,
    name: Name,
    number: PathNumber,
    origin: Annotated[int | None, BeforeValidator(decimal), Query(None, alias="from", ge=1, le=MAX_INTEGER)] = None,
) -> HttpResponse:
    """From the pool's revision `from`, or its current target: packages, files of equal versions, unmanaged names."""
    target = pool_named(name).target
    if origin is None and target is None:
        raise NoTarget(f"The pool {name} has no target yet.")
    before = _revision(name, origin if origin is not None else target.number)  # type: ignore[union-attr]
    return revision_diff(before, _revision(name, number))


@router.post(
    "/pools/{name}/targets",
    response={200: RevisionDetail, 201: RevisionDetail},
    auth=[*OPERATOR, *ENDPOINT],
    summary="Set the target from an endpoint",
    openapi_extra=refuses(
        "may_not_set_targets",
        "target_changed",
        "source_changed",
        "state_unknown",
        "unsound_source",
        "token_shared",
        "conflict",
    ),
)
def set_target(request: ApiRequest, name: Name, payload: TargetIn) -> Status[RevisionDetail]:
    """201, or 200 with the current revision if that already says the same and names the same repositories.

    An endpoint may do it for itself and its own pool, if an operator gave it the right. Then `approved` in the answer
    says whether automatic sync acts on it at once.
    """
    setter = request.auth.endpoint
    if setter and (payload.endpoint, name) != (setter.name, setter.pool and setter.pool.name):
        raise Forbidden(OWN_TARGET)  # it must not learn whether such names exist
    revision, new = pool_manager.set_target(
        pool=pool_named(name),
        endpoint=endpoint_named(payload.endpoint),
        actor=request.auth.actor,
        setter=setter,
        expected_number=payload.expected_number,
        expected_digest=payload.expected_digest,
        comment=payload.comment,
        force=payload.force,
    )
    return Status(201 if new else 200, revision_detail(revision))


@router.post(
    "/pools/{name}/targets/{number}/approve",
    response=RevisionDetail,
    auth=OPERATOR,
    summary="Approve a target revision",
)
def approve_target(
    request: ApiRequest, name: Name, number: PathNumber, payload: NoFields | None = None
) -> RevisionDetail:
    """From now on automatic sync brings endpoints to it. A repeat changes nothing."""
    pool_manager.approve(pool=pool_named(name), number=number, actor=request.auth.actor)
    return revision_detail(_revision(name, number))


@router.post(
    "/pools/{name}/go-back",
    response={201: RevisionDetail},
    auth=OPERATOR,
    summary="Go back to a revision",
    openapi_extra=refuses("target_changed"),
)
def go_back(request: ApiRequest, name: Name, payload: GoBackIn) -> Status[RevisionDetail]:
    """Makes a new revision with the state of an old one."""
    revision = pool_manager.go_back(
        pool=pool_named(name),
        number=payload.number,
        actor=request.auth.actor,
        expected_number=payload.expected_number,
        comment=payload.comment,
    )
    return Status(201, revision_detail(revision))


@router.post(
    "/pools/{name}/promote",
    response={201: RevisionDetail},
    auth=OPERATOR,
    summary="Promote another pool's target",
    openapi_extra=refuses("target_changed", "no_target", "conflict"),
)
def promote(request: ApiRequest, name: Name, payload: PromoteIn) -> Status[RevisionDetail]:
    """Makes a new revision with the current target of the pool `source`."""
    revision = pool_manager.promote(
        pool=pool_named(name),
        source=pool_named(payload.source),
        actor=request.auth.actor,
        expected_number=payload.expected_number,
        expected_source=payload.expected_source,
        comment=payload.comment,
    )
    return Status(201, revision_detail(revision))
