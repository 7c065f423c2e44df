"""Operations in the API: requests and answers."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from apps.api.requests.fields import (
    ONE_LINE,
    Body,
    Digest,
    Hint,
    Id,
    Key,
    Kind,
    LogText,
    Name,
    ProblemCode,
    ProblemName,
    ResultCode,
    Sequence,
    Text500,
    Time,
)
from apps.fleet import limits, progress
from apps.fleet.alpm.state import InstalledPackage
from apps.fleet.alpm.target_files import TargetFile
from apps.fleet.models import Operation, TargetRevision
from apps.fleet.models.operations import OperationStatus

Amount = Annotated[int, Field(ge=0, le=limits.PROGRESS_NUMBER)]


class Plan(BaseModel):
    """How many packages an operation changes, by kind; `replace` is another arch, `reason` another install reason."""

    install: int = 0
    upgrade: int = 0
    downgrade: int = 0
    replace: int = 0
    remove: int = 0
    reason: int = 0


class Result(BaseModel):
    """What the agent said; `difference` is what was still missing if the server decided."""

    outcome: str | None = None
    code: str | None = None
    message: str | None = None
    hint: str | None = Field(None, description="What to do, with commands in backquotes. Null: the agent sent none.")
    log_tail: str | None = None
    difference: Any = None


class Hook(BaseModel):
    """A pacman hook; `since` is the machine's time."""

    name: str
    description: str
    since: str


class ProgressOut(BaseModel):
    """How far the agent has got: `done` of `total` packages, 0 of 0 if nothing is counted; bytes of downloads."""

    phase: str = Field(description="`rehearsing`, `downloading`, `applying`, `verifying`, or a newer agent's word.")
    done: int
    total: int
    bytes_done: int
    bytes_total: int
    package: str = Field(
        description="The package that is worked on; empty if there is none or the agent did not report it."
    )
    hosts: list[str] = Field(description="From where something comes now, as `scheme://host:port`.")
    waiting: str = Field(description="What the agent waits for; empty if it waits for nothing.")


class OperationOut(BaseModel):
    """One sync or revert of one endpoint. `target_state` is this endpoint's goal, with its own packages kept."""

    id: UUID
    endpoint: str
    kind: Kind
    status: OperationStatus
    pool: str | None = Field(description="The pool whose revision a sync brings the endpoint to.")
    revision: int | None
    base_state: str
    target_state: str
    plan: Plan
    attempt: int
    retries: int = Field(description="How often it failed for a reason that will pass, and was queued again.")
    retry_at: Time | None = Field(description="When it is tried again; `result` is that of the last try until then.")
    author: str
    created: Time
    applying_since: Time | None
    lease_until: Time | None
    finished: Time | None
    deadline: Time
    result: Result | None
    hook: Hook | None = Field(None, description="The hook that pacman is running, as the last heartbeat said.")
    progress: ProgressOut | None = Field(
        None, description="How far it is, as the last heartbeat said. Null: the agent said nothing of that."
    )


def operation_out(operation: Operation) -> OperationOut:
    """If operations are read `with_names`, a list of them takes one statement."""
    revision, far = operation.revision, progress.of(operation)
    return OperationOut(
        id=operation.id,
        endpoint=operation.endpoint.name,
        kind=operation.kind,  # type: ignore[arg-type]
        status=OperationStatus(operation.status),
        pool=revision.pool.name if revision else None,
        revision=revision.number if revision else None,
        base_state=operation.base_state_id,
        target_state=operation.target_state_id,
        plan=Plan(**operation.plan),
        attempt=operation.attempt,
        retries=operation.retries,
        retry_at=operation.retry_at,
        author=operation.author,
        created=operation.created,
        applying_since=operation.applying_since,
        lease_until=operation.lease_until,
        finished=operation.finished,
        deadline=operation.deadline,
        result=Result(**operation.result) if operation.result is not None else None,
        hook=Hook(**operation.hook) if operation.hook and operation.status == OperationStatus.APPLYING else None,
        progress=ProgressOut.model_validate(far, from_attributes=True) if far else None,
    )


class FinishedOut(OperationOut):
    """An operation, with what has become of the target since."""

    pool_target: int | None = Field(
        description="The revision that is now the target of `pool`; null if it has no pool, or that has no target."
    )


def finished_out(operation: Operation) -> FinishedOut:
    """Takes one query more than `operation_out`."""
    revision = operation.revision
    targets = TargetRevision.objects.filter(pk=revision.pool.target_id or 0 if revision else 0)
    number = targets.values_list("number", flat=True).first()
    return FinishedOut(**dict(operation_out(operation)), pool_target=number)


class OperationIn(Body):
    """With an API token, `endpoint` is required; with an endpoint's token it is the endpoint itself."""

    kind: Kind
    endpoint: Name | None = None
    idempotency_key: Key | None = Field(None, description="A repeat with the same key gets the first one's operation.")


class RunAgainIn(Body):
    """May be left out."""

    idempotency_key: Key | None = Field(None, description="A repeat with the same key gets the first one's operation.")


class ClaimIn(Body):
    lease_token: Id = Field(description="Made by the agent, and written to its journal before it asks.")
    state: Digest = Field(description="The state that the endpoint is in now.")


class HookIn(Body):
    """The hook that pacman is running; `since` is pacman's own time of its start."""

    name: Text500
    description: Text500 = ""
    since: Text500 = ""


class ProgressIn(Body):
    """How far the agent has got. It may be left out, and so may each of its fields except the phase."""

    phase: ProblemCode = Field(
        max_length=limits.PHASE_LENGTH, description="`rehearsing`, `downloading`, `applying`, `verifying`, …"
    )
    done: Amount = 0
    total: Amount = 0
    bytes_done: Amount = 0
    bytes_total: Amount = 0
    package: Annotated[str, Field(max_length=limits.PACKAGE_NAME_LENGTH, pattern=ONE_LINE)] = ""
    hosts: list[ProblemName] = Field([], max_length=limits.PROGRESS_HOSTS, fail_fast=True)
    waiting: Text500 = ""


class HeartbeatIn(Body):
    lease_token: Id
    phase: Literal["leased", "applying"] = Field(description="`applying` is said right before pacman starts.")
    hook: HookIn | None = Field(None, description="What pacman is running now; null if it does something else.")
    progress: ProgressIn | None = Field(None, description="How far the agent is; null if nothing is said about that.")


class ResultIn(Body):
    lease_token: Id
    outcome: Literal["succeeded", "failed"]
    seq: Sequence
    state: Digest = Field(description="The state that the endpoint is in now, which decides what came of it.")
    code: ResultCode = ""
    message: LogText = ""
    hint: Hint | None = Field(None, description="What to do, in one line, with commands in backquotes.")
    log_tail: LogText = ""


class PackageOut(BaseModel):
    """One package of a state."""

    name: str
    version: str
    arch: str
    reason: Literal["explicit", "dependency"]


def package_out(package: InstalledPackage) -> PackageOut:
    return PackageOut.model_construct(
        name=package.name, version=package.version, arch=package.arch, reason=package.reason
    )


class TargetPackageOut(PackageOut):
    """With the file behind it, as the databases of the target's source had it; null if they didn't."""

    repository: str | None
    filename: str | None
    sha256: str | None
    size: int | None = Field(description="Compressed bytes.")


def target_package_out(package: InstalledPackage, files: Mapping[str, TargetFile]) -> TargetPackageOut:
    """The package with its file. `files` is by pkgname; a file of another version doesn't count."""
    file = files.get(package.name)
    if file is not None and file.package != (package.name, package.version, package.arch):
        file = None
    return TargetPackageOut.model_construct(
        name=package.name,
        version=package.version,
        arch=package.arch,
        reason=package.reason,
        repository=file.repository if file else None,
        filename=file.filename if file else None,
        sha256=file.sha256 if file else None,
        size=(file.size or None) if file else None,
    )


class UnmanagedOut(BaseModel):
    """A package that the target's source has but the target doesn't manage: every endpoint keeps it as it is."""

    name: str
    why: Literal["foreign", "dropped", "excluded", "held"]


class RevisionNamed(BaseModel):
    """A target revision by its content: the number, and the digest over packages, files and unmanaged names."""

    number: int
    digest: str


class SignedRevisionOut(BaseModel):
    """What an operator signed of the revision, for machines that trust keys."""

    document: str = Field(description="The exact text that was signed, in base64.")
    signature: str = Field(description="The detached OpenPGP signature, in base64.")


class TargetPackages(BaseModel):
    """`packages` is this endpoint's goal; the rest is what the target revision says. Empty for a revert."""

    digest: str
    packages: list[TargetPackageOut]
    unmanaged: list[UnmanagedOut]
    mirrors: dict[str, list[str]] = Field(description="Those of the target's source by repository, no credentials.")
    revision: RevisionNamed | None
    signed: SignedRevisionOut | None = Field(description="null if the revision isn't signed.")


class FetchOut(BaseModel):
    """One package that the target has and the base doesn't, and where to get it, best first. `size` is in bytes."""

    name: str
    version: str
    arch: str
    filename: str
    sha256: str | None
    size: int | None
    urls: list[str]


class ClaimOut(BaseModel):
    operation: OperationOut
    lease_until: Time | None = Field(description="On the database's clock; null in a repeat after the end.")
    lease_seconds: int
    target: TargetPackages
    fetch: list[FetchOut]


class HeartbeatOut(BaseModel):
    lease_until: Time | None
    status: OperationStatus
