"""Endpoints, their history and differences, in the API."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from apps.api.requests.fields import Body, Kind, Name, Time
from apps.api.schemas.operations import FetchOut, OperationOut, Plan, UnmanagedOut
from apps.api.schemas.vulnerabilities import EndpointVulnerabilitiesOut
from apps.fleet import limits
from apps.fleet.last_results import LastResult
from apps.fleet.models import Endpoint
from apps.fleet.models.operations import OperationStatus
from apps.fleet.status import EndpointStatus

ChangeWord = Literal["install", "remove", "upgrade", "downgrade", "replace", "reason"]


class ProblemOut(BaseModel):
    """What speaks against the endpoint as the source of a target."""

    code: str
    text: str
    names: list[str]


class ProtectedOut(BaseModel):
    """What the endpoint lets no operation remove: it needs one of the names, or each."""

    role: str
    why: str
    names: list[str]
    needs: Literal["one", "each"]
    instead: list[str]


class RemovalOut(BaseModel):
    """A package that a sync would remove, and why the endpoint would refuse that."""

    name: str
    why: str


class RefusalOut(BaseModel):
    """An endpoint that would refuse a sync."""

    endpoint: str
    refused: list[RemovalOut]


class RefusalsOut(BaseModel):
    items: list[RefusalOut]


class LastResultOut(BaseModel):
    """How the newest finished operation ended; `code` says why, if it didn't succeed."""

    operation: UUID
    kind: Kind
    status: OperationStatus
    code: str | None
    finished: Time


class RestingOut(BaseModel):
    """Automatic sync has left the endpoint alone since this operation failed, or was cancelled, lost or reverted.

    `rolled_back`: the endpoint is back in the state before this sync, without an operation (a snapshot).
    """

    why: Literal["failed", "cancelled", "lost", "reverted", "rolled_back"]
    operation: UUID
    since: Time


class SigningOut(BaseModel):
    """The keys that a machine trusts to sign revisions, as it says."""

    keys: list[str] = Field(description="Fingerprints in upper-case hex.")
    pool: UUID | None = Field(description="The identity of the pool that it follows.")
    accepted: int | None = Field(description="The newest revision that it accepted.")
    problem: str | None = Field(description="The code of why it can't read its keys, and follows nothing.")


class NoSyncOut(BaseModel):
    """Why no sync is possible now."""

    code: str
    detail: str


class EndpointOut(BaseModel):
    """One machine. Its status is derived from what it reported; the machine itself never states it."""

    id: int
    name: str
    pool: str | None
    status: EndpointStatus
    state: str | None
    arch: str
    agent_version: str
    last_seen: Time | None
    created: Time
    token: Literal["active", "revoked"]
    token_shared: Time | None = Field(description="Since when more than one machine has been reporting with its token.")
    awaits_approval: bool = Field(description="Whether an operator has to approve it before it takes part.")
    may_set_targets: bool = Field(description="Whether it may make its own packages the target of its pool.")
    last_result: LastResultOut | None


def last_result_out(last: LastResult) -> LastResultOut:
    return LastResultOut.model_validate(
        {
            "operation": last.pk,
            "kind": last.kind,
            "status": last.status,
            "code": last.code or None,
            "finished": last.finished,
        }
    )


def endpoint_fields(endpoint: Endpoint, status: EndpointStatus, last: LastResult | None) -> dict[str, object]:
    """The fields of `EndpointOut`. `endpoint` has been read with its pool."""
    return {
        "id": endpoint.pk,
        "name": endpoint.name,
        "pool": endpoint.pool.name if endpoint.pool else None,
        "status": status,
        "state": endpoint.state_id,
        "arch": endpoint.arch,
        "agent_version": endpoint.agent_version,
        "last_seen": endpoint.last_seen,
        "created": endpoint.created,
        "token": "active" if endpoint.token_hash else "revoked",
        "token_shared": endpoint.token_shared,
        "awaits_approval": endpoint.awaits_approval,
        "may_set_targets": endpoint.may_set_targets,
        "last_result": last_result_out(last) if last else None,
    }


class RepositoryOut(BaseModel):
    name: str
    digest: str
    mirrors: list[str]


class EndpointDetail(EndpointOut):
    """With fields that would make a list too long."""

    report_seq: int
    rotation_requested: Time | None = Field(description="Since when its agent has been asked to rotate the token.")
    reenrolment_until: Time | None = Field(description="Until when a code to enrol again is valid, if there is one.")
    holds: list[str]
    foreign: list[str]
    repositories: list[RepositoryOut]
    operation: OperationOut | None
    difference: Plan = Field(description="What a sync would do now; nothing where `refusal` says why there is none.")
    why: str = Field(description="Why it has this status, in a sentence about this endpoint.")
    refusal: NoSyncOut | None
    resting: RestingOut | None = Field(description="Where automatic sync would have to be resumed.")
    problems: list[ProblemOut] | None = Field(
        description="What it found when it examined itself as the source of a target; null if nothing was said."
    )
    protected: list[ProtectedOut] | None = Field(
        description="What it doesn't let any operation remove; null if nothing was said."
    )
    signing: SigningOut | None = Field(
        description="The keys whose signed revisions alone it follows; null: it follows every target."
    )
    refused: list[RemovalOut] = Field(description="What it would refuse to remove in a sync now.")
    vulnerabilities: EndpointVulnerabilitiesOut | None = Field(
        description="Known vulnerabilities in its packages; null while SECURITY_TRACKER_URL is not set."
    )


class EndpointChange(Body):
    """What is left out stays as it is."""

    may_set_targets: bool | None = None


class AssignIn(Body):
    pool: Name | None = Field(description="null if it is in no pool.")


class EndpointTokenOut(BaseModel):
    """The only answer that holds the new token."""

    name: str
    token: str


class ReenrolmentIn(Body):
    valid_hours: int = Field(default=24, ge=1, le=limits.ENROLMENT_HOURS)


class ReenrolmentOut(BaseModel):
    """The only answer that holds the code."""

    name: str
    code: str
    expires: Time
    line: str = Field(description="The shell line that enrols the machine again.")


class PackageSide(BaseModel):
    version: str
    arch: str
    reason: Literal["explicit", "dependency"]


class ChangeOut(BaseModel):
    """One package that differs: `from` is null for an install, `to` for a removal."""

    name: str
    change: ChangeWord
    before: PackageSide | None = Field(alias="from")
    after: PackageSide | None = Field(alias="to")


class KeptOut(BaseModel):
    """What a sync leaves alone: held by the machine, foreign to its repositories, excluded by the pool, or not managed
    by the target."""

    held: list[str]
    foreign: list[str]
    excluded: list[str]
    unmanaged: list[str]


class DiffOut(BaseModel):
    """The changes from one set of packages to another."""

    origin: str = Field(alias="from", description="Digest of the state before.")
    goal: str = Field(alias="to", description="Digest of the state after.")
    equal: bool
    counts: Plan
    changes: list[ChangeOut]
    kept: KeptOut
    unmanaged: list[UnmanagedOut] = Field(description="Why the target doesn't manage what is in `kept.unmanaged`.")
    refused: list[RemovalOut] = Field(description="What the endpoint would refuse to remove.")
    fetch: list[FetchOut] | None = Field(
        None, description="Where to get each package that is new, as in a claim; null unless it was asked for."
    )
