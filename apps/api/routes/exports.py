"""Whole lists as a file: CSV for spreadsheets, JSON Lines for programs. They have the same filters as the lists."""

from typing import Annotated, Any, Literal

from django.http import HttpResponse
from ninja import Query, Router
from pydantic import BeforeValidator

from apps.api.access.auth import VIEWER
from apps.api.description.openapi import refuses
from apps.api.requests.csv_export import MAX_ROWS, MEDIA_TYPES, export
from apps.api.requests.fields import decimal
from apps.api.requests.pagination import CursorText, page_of
from apps.api.requests.principal import ApiRequest
from apps.api.requests.vulnerability_selection import selection_of
from apps.api.routes.endpoints import endpoint_rows, endpoints_out
from apps.api.routes.vulnerabilities import AtLeast, InPool, OfEndpoint, WorstIs
from apps.api.schemas.audit import audit_event_out
from apps.api.schemas.filters import AuditQuery, EndpointQuery, OperationQuery
from apps.api.schemas.operations import operation_out
from apps.api.schemas.vulnerabilities import advisories_out, affected_endpoint_out
from apps.vulnerabilities import selection
from apps.vulnerabilities.severity import WORDS

router = Router()
Format = Annotated[Literal["csv", "jsonl"], Query("csv")]
Rows = Annotated[int, BeforeValidator(decimal), Query(MAX_ROWS, ge=1, le=MAX_ROWS, description="Rows of this file.")]
ENDPOINT_COLUMNS = (
    "name",
    "pool",
    "status",
    "arch",
    "agent_version",
    "last_seen",
    "last_result.kind",
    "last_result.status",
    "last_result.code",
    "last_result.finished",
    "state",
    "token",
    "may_set_targets",
    "created",
    "id",
)
OPERATION_COLUMNS = (
    "id",
    "endpoint",
    "kind",
    "status",
    "pool",
    "revision",
    *(f"plan.{kind}" for kind in ("install", "upgrade", "downgrade", "replace", "remove", "reason")),
    "author",
    "created",
    "applying_since",
    "finished",
    "attempt",
    "result.code",
    "result.message",
    "base_state",
    "target_state",
)
AUDIT_COLUMNS = ("id", "at", "actor", "verb", "object", "before", "after")
ADVISORY_COLUMNS = ("name", "severity", "status", "type", "fixed", "endpoints", "packages", "issues", "url")
AFFECTED_COLUMNS = ("name", "pool", "severity", *(f"advisories.{word}" for word in WORDS))


def _is_a_file(*codes: str) -> dict[str, Any]:
    content = {media: {"schema": {"type": "string"}} for media in MEDIA_TYPES.values()}
    link = {"Link": {"schema": {"type": "string"}, "description": "`rel=next`: where the rest is, if there is any."}}
    return refuses(*codes, responses={200: {"description": "The file.", "content": content, "headers": link}})


@router.get(
    "/exports/endpoints", auth=VIEWER, summary="Export endpoints", openapi_extra=_is_a_file("comparison_too_long")
)
def export_endpoints(
    request: ApiRequest,
    filters: Query[EndpointQuery],
    format: Format = "csv",
    limit: Rows = MAX_ROWS,
    cursor: CursorText = None,
) -> HttpResponse:
    found, following = endpoint_rows(filters, limit=limit, cursor=cursor)
    items = (one.model_dump() for one in endpoints_out(found))
    return export(request, "endpoints", items, ENDPOINT_COLUMNS, format=format, cursor=following)


@router.get("/exports/operations", auth=VIEWER, summary="Export operations", openapi_extra=_is_a_file())
def export_operations(
    request: ApiRequest,
    filters: Query[OperationQuery],
    format: Format = "csv",
    limit: Rows = MAX_ROWS,
    cursor: CursorText = None,
) -> HttpResponse:
    """Without the agents' logs and the difference that was left: get a single operation for those."""
    chosen = filters.filter()
    rows = chosen.rows().defer("foreign")
    found, following = page_of(rows, order=chosen.order(), limit=limit, cursor=cursor)
    unwanted: Any = {"result": {"log_tail", "difference"}}
    items = (operation_out(operation).model_dump(exclude=unwanted) for operation in found)
    return export(request, "operations", items, OPERATION_COLUMNS, format=format, cursor=following)


@router.get("/exports/audit-events", auth=VIEWER, summary="Export audit events", openapi_extra=_is_a_file())
def export_audit_events(
    request: ApiRequest,
    filters: Query[AuditQuery],
    format: Format = "csv",
    limit: Rows = MAX_ROWS,
    cursor: CursorText = None,
) -> HttpResponse:
    found, following = page_of(filters.filter().rows(), order=("-id",), limit=limit, cursor=cursor)
    items = (audit_event_out(event).model_dump() for event in found)
    return export(request, "audit-events", items, AUDIT_COLUMNS, format=format, cursor=following)


@router.get(
    "/exports/vulnerabilities",
    auth=VIEWER,
    summary="Export the advisories that concern installed packages",
    openapi_extra=_is_a_file("feature_disabled", "not_found"),
)
def export_vulnerabilities(
    request: ApiRequest,
    severity: AtLeast = None,
    worst: WorstIs = None,
    pool: InPool = None,
    endpoint: OfEndpoint = None,
    format: Format = "csv",
) -> HttpResponse:
    """All of them in one file."""
    chosen = selection_of(severity=severity, worst=worst, pool=pool, endpoint=endpoint)
    items = (one.model_dump() for one in advisories_out(chosen))
    return export(request, "vulnerabilities", items, ADVISORY_COLUMNS, format=format, cursor=None)


@router.get(
    "/exports/vulnerabilities/endpoints",
    auth=VIEWER,
    summary="Export the endpoints that known vulnerabilities concern",
    openapi_extra=_is_a_file("feature_disabled", "not_found"),
)
def export_vulnerable_endpoints(
    request: ApiRequest,
    severity: AtLeast = None,
    worst: WorstIs = None,
    pool: InPool = None,
    format: Format = "csv",
    limit: Rows = MAX_ROWS,
    cursor: CursorText = None,
) -> HttpResponse:
    rows = selection.listed_endpoints(selection_of(severity=severity, worst=worst, pool=pool))
    found, following = page_of(rows, order=("name",), limit=limit, cursor=cursor)
    items = (affected_endpoint_out(endpoint).model_dump() for endpoint in found)
    return export(request, "vulnerable-endpoints", items, AFFECTED_COLUMNS, format=format, cursor=following)
