"""An audit event on the wire."""

from typing import Any

from pydantic import BaseModel, Field

from apps.api.requests.fields import Time
from apps.fleet.models import AuditEvent


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
