"""One action for many endpoints, in the API."""

from uuid import UUID

from pydantic import BaseModel, Field

from apps.api.requests.fields import Body, Name
from apps.fleet.bulk_actions import MAX_ENDPOINTS, Action, BatchItem


class ManyIn(Body):
    """What to do with which endpoints."""

    action: Action = Field(strict=False)
    endpoints: list[Name] = Field(min_length=1, max_length=MAX_ENDPOINTS, description="Their names, each once.")
    pool: Name | None = Field(
        None, description="Where `move` moves them; null takes them out of their pool. With `move` only."
    )
    dry_run: bool = Field(False, description="Say what would be done, and do nothing.")


class CaseOut(BaseModel):
    """What became of one endpoint, or would."""

    endpoint: str
    done: bool
    operation: UUID | None = Field(description="What was queued or cancelled.")
    code: str | None = Field(description="Why it is left out.")
    detail: str | None


class ManyOut(BaseModel):
    action: Action
    dry_run: bool
    done: int
    items: list[CaseOut] = Field(description="In the order of the request.")


def many_out(payload: ManyIn, cases: list[BatchItem]) -> ManyOut:
    return ManyOut(
        action=payload.action,
        dry_run=payload.dry_run,
        done=sum(not case.code for case in cases),
        items=[
            CaseOut(
                endpoint=case.endpoint,
                done=not case.code,
                operation=case.operation,
                code=case.code or None,
                detail=case.detail or None,
            )
            for case in cases
        ],
    )
