"""The query parameters of lists and their exports, one model for each. apps.fleet.filters decides what they select."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from apps.api.requests.fields import NAME_OR_NONE, NO_NUL, Kind, NameFilter
from apps.fleet import limits, time_input
from apps.fleet.after_sync import LeftToDo
from apps.fleet.exceptions import Invalid
from apps.fleet.filters import AuditFilter, EndpointFilter, OperationFilter
from apps.fleet.names import NAME_MAX_LENGTH
from apps.fleet.status import EndpointStatus


def _moment(value: Any) -> Any:
    try:
        return time_input.parse(value, field="It") if isinstance(value, str) else value
    except Invalid as refusal:
        raise ValueError(str(refusal)) from None


Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]
PoolFilter = Annotated[str, Field(max_length=NAME_MAX_LENGTH, pattern=NAME_OR_NONE)]
Part = Annotated[str, Field(max_length=200, pattern=NO_NUL)]
Word = Annotated[str, Field(max_length=200, pattern=NO_NUL)]
EndpointSort = Literal["name", "-name", "pool", "-pool", "last_seen", "-last_seen", "agent_version", "-agent_version"]
LastResult = Literal["succeeded", "failed", "cancelled", "lost", "never", "unhealthy"]
OperationWord = Literal["active", "queued", "leased", "applying", "succeeded", "failed", "cancelled", "lost"]


def _given(query: BaseModel, *, without: set[str] | None = None) -> dict[str, Any]:
    return query.model_dump(exclude_none=True, exclude=without)


class EndpointQuery(BaseModel):
    """Which endpoints."""

    pool: PoolFilter | None = Field(None, description="`-` for those in no pool.")
    status: EndpointStatus | None = None
    files_differ: bool | None = Field(None, description="Whether they reported files that differ from their packages.")
    resting: bool | None = Field(None, description="Whether automatic sync would sync them, but rests.")
    after_sync: LeftToDo | None = Field(None, description="What they say is left to do after a sync.")
    token_shared: bool | None = Field(None, description="Whether more than one machine reports with their token.")
    awaits_approval: bool | None = Field(None, description="Whether they wait for an operator's approval.")
    name: Part | None = Field(None, description="Part of the name.")
    package: Part | None = Field(None, description="A package that they have, by its whole name.")
    agent_version: Annotated[str, Field(max_length=limits.AGENT_VERSION_LENGTH, pattern=NO_NUL)] | None = None
    seen_after: Moment | None = Field(None, description="Heard of since then; a date, or a time (UTC without a zone).")
    seen_before: Moment | None = Field(None, description="Not heard from since then, or never.")
    last_result: LastResult | None = Field(
        None, description="How their newest finished operation ended; `unhealthy`: failed, because health commands did."
    )
    sort: EndpointSort = "name"

    def filter(self) -> EndpointFilter:
        return EndpointFilter(**_given(self, without={"status"}))


class OperationQuery(BaseModel):
    """Which operations."""

    endpoint: NameFilter | None = None
    name: Part | None = Field(None, description="Part of the endpoint's name.")
    pool: PoolFilter | None = Field(None, description="Of endpoints that are in this pool now; `-`: in none.")
    status: OperationWord | None = Field(None, description="`active`: queued, leased or applying.")
    kind: Kind | None = None
    since: Moment | None = Field(None, description="Asked for at this time or later.")
    until: Moment | None = Field(None, description="Asked for before this time.")
    sort: Literal["created", "-created"] = "-created"

    def filter(self) -> OperationFilter:
        return OperationFilter(**_given(self))


class AuditQuery(BaseModel):
    """Which audit events."""

    actor: Word | None = Field(None, description="Exactly.")
    verb: Word | None = Field(None, description="Exactly.")
    object: Word | None = Field(None, description="Exactly, like `pool:lab`.")
    text: Part | None = Field(None, description="Part of the actor or of the object.")
    since: Moment | None = None
    until: Moment | None = None

    def filter(self) -> AuditFilter:
        return AuditFilter(**_given(self))
