"""The audit: who changed what. Read only."""

from ninja import Query, Router

from apps.api.access.auth import VIEWER
from apps.api.requests.pagination import CursorText, Limit, Page, paginate
from apps.api.requests.principal import ApiRequest
from apps.api.schemas.audit import AuditEventOut, audit_event_out
from apps.api.schemas.filters import AuditQuery

router = Router()


@router.get("/audit-events", response=Page[AuditEventOut], auth=VIEWER, summary="List audit events, newest first")
def list_audit_events(
    request: ApiRequest, filters: Query[AuditQuery], limit: Limit = 50, cursor: CursorText = None
) -> Page[AuditEventOut]:
    return paginate(filters.filter().rows(), order=("-id",), limit=limit, cursor=cursor, render=audit_event_out)
