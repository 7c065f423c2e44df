"""The audit: who changed what. Read only."""

from typing import Any

from ninja import Query, Router
from pydantic import BaseModel, Field

from apps.api.auth import VIEWER, ApiRequest
from apps.api.fields import Time
from apps.api.pagination import CursorText, Limit, Page, paginate
from apps.api.schemas.filters import AuditQuery
from apps.fleet.models import AuditEvent

router = Router()


class AuditEventOut(BaseModel):
    """`actor` did `verb` to `object`; `before` and `after` are its changed fields."""

    id: int
    actor: str = Field(description="`user:NAME`, `token:NAME`, `endpoint:NAME`, or `server`.")
    verb: str
    object: str
    before: Any = None
    after: Any = None
    at: Time


def audit_event_out(event: AuditEvent) -> AuditEventOut:
    return AuditEventOut(
        id=event.pk,
        actor=event.actor,
        verb=event.verb,
        object=event.object,
        before=event.before,
        after=event.after,
        at=event.at,
    )


@router.get("/audit-events", response=Page[AuditEventOut], auth=VIEWER, summary="List audit events, newest first")
def list_audit_events(
    request: ApiRequest, filters: Query[AuditQuery], limit: Limit = 50, cursor: CursorText = None
) -> Page[AuditEventOut]:
    return paginate(filters.filter().rows(), order=("-id",), limit=limit, cursor=cursor, render=audit_event_out)
