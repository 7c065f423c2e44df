"""The audit: who changed what. Read only."""

from typing import Annotated, Any

from ninja import Query, Router
from pydantic import BaseModel, Field

from apps.api.auth import VIEWER, ApiRequest
from apps.api.fields import NO_NUL, Time
from apps.api.pagination import CursorText, Limit, Page, paginate
from apps.fleet.models import AuditEvent

router = Router()
Word = Annotated[str | None, Query(None, max_length=200, pattern=NO_NUL)]


class AuditEventOut(BaseModel):
    """`actor` did `verb` to `object`; `before` and `after` are its changed fields."""

    id: int
    actor: str = Field(description="`user:NAME`, `token:NAME`, `endpoint:NAME`, or `server`.")
    verb: str
    object: str
    before: Any = None
    after: Any = None
    at: Time


def _event_out(event: AuditEvent) -> AuditEventOut:
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
    request: ApiRequest,
    actor: Word = None,
    verb: Word = None,
    object: Word = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[AuditEventOut]:
    """`actor`, `verb` and `object` select exactly."""
    filters = {"actor": actor, "verb": verb, "object": object}
    rows = AuditEvent.objects.filter(**{field: value for field, value in filters.items() if value is not None})
    return paginate(rows, order=("-id",), limit=limit, cursor=cursor, render=_event_out)
