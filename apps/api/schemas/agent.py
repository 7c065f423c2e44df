"""What an agent says about its machine, and how the server answers (docs/protocol.md)."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from apps.api.requests.fields import (
    MAX_INTEGER,
    AgentVersion,
    Arch,
    Body,
    Digest,
    EnrolmentCodeText,
    Fingerprint,
    Id,
    MirrorUrl,
    NewName,
    Pattern,
    ProblemCode,
    ProblemName,
    ProblemText,
    RepositoryName,
    RevisionNumber,
    Sequence,
    Time,
)
from apps.api.schemas.endpoints import LastResultOut, ProblemOut, RemovalOut, RestingOut
from apps.api.schemas.operations import OperationOut, Plan, RevisionNamed, UnmanagedOut
from apps.fleet import limits


class EnrollIn(Body):
    code: EnrolmentCodeText = Field(description="An enrolment code (`psc_…`).")
    name: NewName
    arch: Arch


class EnrollOut(BaseModel):
    """The only answer that ever holds the token."""

    id: int
    name: str
    token: str
    pool: str | None
    poll_seconds: int
    awaits_approval: bool = Field(description="Whether an operator has to approve the endpoint first.")


class NextTokenIn(Body):
    token_hash: Digest = Field(description="SHA-256 in lower-case hex of the token that the machine has made.")


class NextTokenOut(BaseModel):
    name: str


class ReportedRepositoryIn(Body):
    name: RepositoryName
    digest: Digest
    mirrors: list[MirrorUrl] = Field(
        [], max_length=limits.MIRRORS_TAKEN, fail_fast=True, description="With $repo and $arch replaced."
    )


class ProblemIn(Body):
    """One finding about the machine as the source of a target. Codes that the server doesn't know only warn."""

    code: ProblemCode
    text: ProblemText
    names: list[ProblemName] = Field(
        [], max_length=limits.PROBLEM_NAMES, fail_fast=True, description="Packages or repositories."
    )


class ExaminationIn(Body):
    """What the machine found when it examined itself; if there are no problems, it is a sound source."""

    problems: list[ProblemIn] = Field([], max_length=limits.PROBLEMS, fail_fast=True)


class ProtectedIn(Body):
    """Packages that the machine lets no operation remove. `needs` says whether it needs one of them or each."""

    role: ProblemCode
    why: ProblemText
    names: list[ProblemName] = Field(
        [], max_length=limits.PROTECTED_NAMES, fail_fast=True, description="Installed packages."
    )
    needs: Literal["one", "each"]
    instead: list[ProblemName] = Field(
        [], max_length=limits.PROTECTED_NAMES, fail_fast=True, description="Packages that would do what they do."
    )


class SeenRevisionIn(Body):
    """The last target revision that the machine saw, as a check-in's answer named it."""

    number: int = Field(ge=1, le=MAX_INTEGER)
    digest: Digest


class SigningIn(Body):
    """The keys whose signed revisions alone the machine follows. `problem`: why it can't read them now."""

    keys: list[Fingerprint] = Field(max_length=limits.TRUSTED_KEYS, fail_fast=True)
    pool: Id | None = Field(description="The identity of the pool that it follows.")
    accepted: RevisionNumber | None = Field(description="The newest revision that it accepted.")
    problem: ProblemCode | None = None


class CheckInIn(Body):
    """What the machine is like now."""

    seq: Sequence = Field(description="Grows with each report of the endpoint; an old one is ignored.")
    state: Digest
    repositories: list[ReportedRepositoryIn] = Field(
        [], max_length=limits.REPOSITORIES, fail_fast=True, description="In pacman's order."
    )
    holds: list[Pattern] = Field(
        [], max_length=limits.PATTERNS, fail_fast=True, description="IgnorePkg, with IgnoreGroup spelled out."
    )
    replaced: list[Pattern] = Field(
        [],
        max_length=limits.PATTERNS,
        fail_fast=True,
        description="Installed names that packages of the repositories replace (%REPLACES%).",
    )
    agent_version: AgentVersion = ""
    examination: ExaminationIn | None = Field(None, description="null if the machine wasn't examined.")
    revision_seen: SeenRevisionIn | None = Field(
        None, description="`revision` of the newest answer so far. One that isn't here pauses automatic sync."
    )
    previous_seq: Sequence | None = Field(
        None, description="`seq` of the machine's report before this one; null if it doesn't know."
    )
    protected: list[ProtectedIn] | None = Field(
        None, max_length=limits.PROTECTED_ROLES, fail_fast=True, description="null if nothing is said about that."
    )
    signing: SigningIn | None = Field(None, description="null if the machine trusts no key: it follows every target.")


class TargetOut(BaseModel):
    """The current target revision of the endpoint's pool."""

    number: int
    state: str
    author: str
    comment: str
    created: Time
    approved: bool = Field(description="False: automatic sync waits for an operator's approval.")


class CheckInOut(BaseModel):
    recorded: bool = Field(description="False for an old `seq`, and while anything is wanted.")
    want: list[str] = Field(description="Digests to upload first; then check in again with the same `seq`.")
    status: str
    pool: str | None
    target: TargetOut | None
    revision: RevisionNamed | None = Field(description="The pool's current target revision.")
    operation: OperationOut | None
    rotate_token: bool = Field(description="Whether an operator asks the machine to rotate its token.")
    awaits_approval: bool = Field(description="Nothing is kept of a report while an operator has to approve first.")
    token_shared: bool = Field(description="Whether more than one machine reports with this token.")
    poll_seconds: int = Field(description="When to check in again: POLL_SECONDS, up to twice as long when it is busy.")


class UploadOut(BaseModel):
    digest: str
    package_count: int


class LastFailureOut(LastResultOut):
    """The endpoint's newest finished operation, if it failed or was lost."""

    message: str = Field(description="The first line of its message.")


class MeOut(BaseModel):
    """The endpoint as the server sees it."""

    id: int
    name: str
    pool: str | None
    pool_id: UUID | None = Field(description="What signed revisions name the pool by, renamed or not.")
    status: str
    why: str = Field(description="Why it has this status, in a sentence about this endpoint.")
    state: str | None
    target: TargetOut | None
    operation: OperationOut | None
    holds: list[str]
    foreign: list[str]
    unmanaged: list[UnmanagedOut] = Field(
        description="What it has and the target doesn't manage, with the target's why."
    )
    difference: Plan
    problems: list[ProblemOut] | None = Field(
        description="What it found when it examined itself as a source; null if nothing was said."
    )
    refused: list[RemovalOut] = Field(description="What it would refuse to remove in a sync now.")
    last_failure: LastFailureOut | None = Field(description="null if its newest finished operation didn't fail.")
    resting: RestingOut | None = Field(description="Where automatic sync would have to be resumed.")
    awaits_approval: bool
    token_shared: bool
    last_seen: Time | None
    poll_seconds: int
