"""The fleet as a whole, in the API: is anything wrong, and how is each pool."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from apps.api.requests.fields import Time
from apps.api.schemas.pools.alarms import PoolAlarmOut
from apps.fleet import attention
from apps.fleet.attention import AttentionKind, Severity, Survey


class ItemOut(BaseModel):
    """One thing to look at. `object` is like `endpoint:m1`, `pool:lab`, `token:ci` or `fleet`."""

    kind: AttentionKind
    severity: Severity
    object: str
    cause: str
    since: Time | None = Field(description="When the oldest of it began; null if that is not known.")
    count: int = Field(description="How many endpoints, pools or tokens it is about.")
    pool: str | None
    endpoint: str | None
    operation: UUID | None


class CountsOut(BaseModel):
    """Endpoints by status."""

    in_sync: int
    behind: int
    ahead: int
    diverged: int
    unknown: int
    offline: int


_FILES_DIFFER = "Of those that are `in_sync`: how many reported files that differ from their packages."


class RunningOut(BaseModel):
    """How many endpoints are done, of those that have an operation to the current target, or one under way."""

    active: int
    done: int
    of: int
    phases: dict[str, int] = Field(
        description="How many of those under way are in which phase: `queued`, `preparing`, the agents' own "
        "(`downloading`, `rehearsing`, `applying`, `verifying`)."
    )


class PoolRowOut(BaseModel):
    name: str
    endpoints: int
    counts: CountsOut
    files_differ: int = Field(description=_FILES_DIFFER)
    target: int | None
    target_set: Time | None
    running: RunningOut | None = Field(description="null if nothing is under way.")
    failed: int = Field(description="Endpoints whose newest operation failed or was lost, and that are not in sync.")
    alarms: list[PoolAlarmOut]


class FleetOut(BaseModel):
    """The whole fleet at a glance."""

    status: Literal["ok", "attention"]
    counts: CountsOut
    files_differ: int = Field(description=_FILES_DIFFER)
    attention: list[ItemOut] = Field(description="Worst first.")
    pools: list[PoolRowOut] = Field(description="By name.")


def fleet_out() -> FleetOut:
    """Everything that needs attention, and every pool. It takes a bounded number of queries."""
    survey = Survey()
    items = attention.needs_attention(None, survey=survey)
    rows = attention.pools_overview(survey=survey)
    return FleetOut(
        status="attention" if items else "ok",
        counts=CountsOut.model_validate(survey.counts),
        files_differ=survey.files_differ,
        attention=[ItemOut.model_validate(item, from_attributes=True) for item in items],
        pools=[PoolRowOut.model_validate(row, from_attributes=True) for row in rows],
    )
