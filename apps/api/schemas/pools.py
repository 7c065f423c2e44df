"""Pools and target revisions on the wire."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from apps.api.fields import MAX_INTEGER, Body, Name, NameFilter, NewName, Pattern, RevisionNumber, Text500, Time
from apps.fleet.models import Pool, TargetRevision

Resolution = Literal["manual", "newest", "oldest"]


class PoolOut(BaseModel):
    """A group of endpoints that share one target, and the policy for them."""

    name: str
    description: str
    target: int | None = Field(description="The number of the present target revision.")
    target_state: str | None
    endpoints: int = Field(description="How many endpoints are assigned to it.")
    auto_sync: bool
    excluded_packages: list[str]
    conflict_resolution: Resolution
    endpoints_may_set_target: bool
    retention: int
    created: Time


def pool_out(pool: Pool) -> PoolOut:
    """`pool` with its target, and annotated with `endpoint_count`."""
    return PoolOut(
        name=pool.name,
        description=pool.description,
        target=pool.target.number if pool.target else None,
        target_state=pool.target.state_id if pool.target else None,
        endpoints=pool.endpoint_count,  # type: ignore[attr-defined]
        auto_sync=pool.auto_sync,
        excluded_packages=pool.excluded_packages,
        conflict_resolution=pool.conflict_resolution,  # type: ignore[arg-type]
        endpoints_may_set_target=pool.endpoints_may_set_target,
        retention=pool.retention,
        created=pool.created,
    )


class PoolIn(Body):
    """A new pool. What is left out has the default."""

    name: NewName
    description: Text500 = ""
    auto_sync: bool = Field(False, description="Queue a sync by itself for an endpoint that is behind.")
    excluded_packages: list[Pattern] = Field([], max_length=1000, description="Shell patterns, as in IgnorePkg.")
    conflict_resolution: Resolution = Field("manual", description="What automatic sync does with one that is ahead.")
    endpoints_may_set_target: bool = Field(True, description="Whether `pacsync-agent set-latest` may be used.")
    retention: int = Field(50, ge=1, le=10_000, description="How many past states of each endpoint are kept.")


def _without_defaults(schema: dict[str, Any]) -> None:
    for one in schema["properties"].values():
        one.pop("default", None)


class PoolChange(Body):
    """What is left out stays as it is: the defaults here are never used."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    name: NewName = ""
    description: Text500 = ""
    auto_sync: bool = False
    excluded_packages: list[Pattern] = Field([], max_length=1000)
    conflict_resolution: Resolution = "manual"
    endpoints_may_set_target: bool = True
    retention: int = Field(50, ge=1, le=10_000)


class RevisionOut(BaseModel):
    """What a pool's target was, from `created` to the next revision."""

    pool: str
    number: int
    state: str
    source_endpoint: str | None = Field(description="The endpoint whose state it was, while that endpoint exists.")
    copied_number: int | None = Field(description="The revision that this one went back to or was promoted from.")
    promoted_from: str | None = Field(description="The pool that it was promoted from.")
    author: str
    comment: str
    created: Time


REVISION_RELATED = ("pool", "source_endpoint")


def revision_out(revision: TargetRevision) -> RevisionOut:
    source = revision.source_endpoint
    return RevisionOut(
        pool=revision.pool.name,
        number=revision.number,
        state=revision.state_id,
        source_endpoint=source.name if source else None,
        copied_number=revision.copied_number,
        promoted_from=revision.promoted_from or None,
        author=revision.author,
        comment=revision.comment,
        created=revision.created,
    )


class _TargetChange(Body):
    expected_number: RevisionNumber | None = Field(
        None, description="The revision that you saw (0: none yet). If it isn't the current one: `target_changed`."
    )
    comment: Text500 = ""


class TargetIn(_TargetChange):
    """Take the present state of `endpoint` as the pool's target."""

    endpoint: Name
    force: bool = Field(
        False,
        description="Make a new revision also when it has what the present one has, and from a source that isn't sound "
        "where that may be forced.",
    )


class GoBackIn(_TargetChange):
    """Take the state of revision `number` again, as a new revision."""

    number: int = Field(ge=1, le=MAX_INTEGER)


class PromoteIn(_TargetChange):
    """Take the present target of the pool `source`."""

    source: Name


class BulkSyncIn(Body):
    limit: int = Field(200, ge=1, le=500, description="How many endpoints this request looks at.")
    after: NameFilter | None = Field(None, description="`next` of the answer before.")


class BulkSyncItem(BaseModel):
    """What became of one endpoint: an operation, or the code and the reason why there is none."""

    endpoint: str
    operation: UUID | None
    code: str | None
    detail: str | None


class BulkSyncOut(BaseModel):
    items: list[BulkSyncItem] = Field(description="Every endpoint that isn't in sync.")
    queued: int
    in_sync: int
    next: str | None = Field(description="Give it as `after` to go on; null when every endpoint was looked at.")
