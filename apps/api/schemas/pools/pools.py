"""Pools in the API, and the sync of a whole pool."""

from collections.abc import Iterable
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from apps.api.requests.fields import Body, NameFilter, NewName, Pattern, Text500, Time
from apps.api.schemas.pools.alarms import PoolAlarmOut
from apps.fleet import limits
from apps.fleet.models import Pool
from apps.fleet.pool_alarms import PoolAlarm

Resolution = Literal["manual", "newest", "oldest"]


class PoolOut(BaseModel):
    """A group of endpoints that share one target, and the policy for them."""

    name: str
    description: str
    target: int | None = Field(description="The number of the current target revision.")
    target_state: str | None
    endpoints: int = Field(description="How many endpoints are assigned to it.")
    auto_sync: bool
    excluded_packages: list[str]
    conflict_resolution: Resolution
    endpoint_targets_need_approval: bool
    retention: int
    created: Time
    alarms: list[PoolAlarmOut] = Field(description="What an operator should look at.")


def pool_out(pool: Pool, alarms: Iterable[PoolAlarm]) -> PoolOut:
    """`pool` is read with its target, and annotated with `endpoint_count`."""
    return PoolOut(
        name=pool.name,
        description=pool.description,
        target=pool.target.number if pool.target else None,
        target_state=pool.target.state_id if pool.target else None,
        endpoints=pool.endpoint_count,  # type: ignore[attr-defined]
        auto_sync=pool.auto_sync,
        excluded_packages=pool.excluded_packages,
        conflict_resolution=pool.conflict_resolution,  # type: ignore[arg-type]
        endpoint_targets_need_approval=pool.endpoint_targets_need_approval,
        retention=pool.retention,
        created=pool.created,
        alarms=[PoolAlarmOut.model_validate(alarm, from_attributes=True) for alarm in alarms],
    )


class PoolIn(Body):
    """A new pool. What is left out has the default."""

    name: NewName
    description: Text500 = ""
    auto_sync: bool = Field(
        False, description="Queue syncs automatically, for the endpoints that `conflict_resolution` names."
    )
    excluded_packages: list[Pattern] = Field(
        [], max_length=limits.PATTERNS, description="Shell patterns, as in IgnorePkg."
    )
    conflict_resolution: Resolution = Field(
        "manual",
        description="Which endpoints automatic sync brings to the target: `manual` those that are behind, `newest` "
        "those on which no package goes back, `oldest` all.",
    )
    endpoint_targets_need_approval: bool = Field(
        False, description="Whether automatic sync waits for an operator's approval of a target that an endpoint set."
    )
    retention: int = Field(50, ge=1, le=limits.RETENTION, description="How many past states of each endpoint are kept.")


def _without_defaults(schema: dict[str, Any]) -> None:
    for one in schema["properties"].values():
        one.pop("default", None)


class PoolChange(Body):
    """What is left out stays as it is: the defaults here are never used."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    name: NewName = ""
    description: Text500 = ""
    auto_sync: bool = False
    excluded_packages: list[Pattern] = Field([], max_length=limits.PATTERNS)
    conflict_resolution: Resolution = "manual"
    endpoint_targets_need_approval: bool = False
    retention: int = Field(50, ge=1, le=limits.RETENTION)


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
    next: str | None = Field(description="Give it as `after` to continue; null if every endpoint was looked at.")
