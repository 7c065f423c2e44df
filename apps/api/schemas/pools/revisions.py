"""Target revisions in the API: what they say, and how to ask for them."""

import json
from typing import Any

from django.http import HttpResponse
from pydantic import BaseModel, Field

from apps.api.requests.fields import MAX_INTEGER, Body, Digest, Name, RevisionNumber, Text500, Time
from apps.api.schemas.endpoints import ChangeOut
from apps.api.schemas.operations import Plan, RevisionNamed, TargetPackageOut, UnmanagedOut, target_package_out
from apps.api.schemas.pools.alarms import ChecksumConflictOut
from apps.fleet import checksums, difference, revisions, states, target_files
from apps.fleet.alpm.target_files import TargetFile
from apps.fleet.models import TargetRevision


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
    digest: str = Field(description="SHA-256 over packages, files and unmanaged names, in lower-case hex.")
    approved: bool = Field(description="False: automatic sync waits for an operator's approval.")
    signed_until: Time | None = Field(description="Until when its signature is good; null if it isn't signed.")
    mirrors: dict[str, list[str]] = Field(description="Those of the source by repository, without credentials.")


class RevisionDetail(RevisionOut):
    """With fields that would make a list too long."""

    files: int | None = Field(description="For how many packages it holds the file; null if none were recorded.")
    unmanaged: list[UnmanagedOut] | None = Field(
        description="What every endpoint keeps as it is; null if that was not recorded."
    )
    checksum_conflicts: list[ChecksumConflictOut] = Field(
        description="Packages of it that the fleet has more than one file for."
    )


REVISION_RELATED = ("pool", "source_endpoint")
REVISION_DETAIL = (*REVISION_RELATED, "files", "state")


def _revision_fields(revision: TargetRevision) -> dict[str, Any]:
    source = revision.source_endpoint
    return {
        "pool": revision.pool.name,
        "number": revision.number,
        "state": revision.state_id,
        "source_endpoint": source.name if source else None,
        "copied_number": revision.copied_number,
        "promoted_from": revision.promoted_from or None,
        "author": revision.author,
        "comment": revision.comment,
        "created": revision.created,
        "digest": revisions.digest(revision),
        "approved": revision.approved,
        "signed_until": revision.signed_until,
        "mirrors": revisions.mirrors_of(revision),
    }


def revision_out(revision: TargetRevision) -> RevisionOut:
    return RevisionOut.model_validate(_revision_fields(revision))


def revision_detail(revision: TargetRevision) -> RevisionDetail:
    """Reads the revision's files and the conflicts that concern them."""
    found = checksums.conflicts_of(revision)
    return RevisionDetail.model_validate(
        _revision_fields(revision)
        | {
            "files": revision.files.file_count if revision.files else None,
            "unmanaged": revision.unmanaged,
            "checksum_conflicts": [ChecksumConflictOut.model_validate(one, from_attributes=True) for one in found],
        }
    )


class RevisionPackagesOut(BaseModel):
    """Everything that a revision manages, each package with its file."""

    pool: str
    number: int
    digest: str
    packages: list[TargetPackageOut]


def revision_packages(revision: TargetRevision) -> RevisionPackagesOut:
    """`revision` is read with its pool and state. Raises StateTooLarge."""
    files = target_files.load(revision)
    return RevisionPackagesOut(
        pool=revision.pool.name,
        number=revision.number,
        digest=revisions.digest(revision),
        packages=[target_package_out(package, files) for package in states.load(revision.state)],
    )


class FileSide(BaseModel):
    """The file of a package, as one revision holds it."""

    repository: str
    filename: str
    sha256: str | None
    size: int


class FileChangeOut(BaseModel):
    """A package that both have in the same version but with different files."""

    name: str
    version: str
    arch: str
    before: FileSide = Field(alias="from")
    after: FileSide = Field(alias="to")


class RevisionDiffOut(BaseModel):
    """The changes from one revision to another."""

    origin: RevisionNamed = Field(alias="from")
    goal: RevisionNamed = Field(alias="to")
    equal: bool = Field(description="The same packages, files and unmanaged names.")
    counts: Plan
    changes: list[ChangeOut]
    files: list[FileChangeOut]
    unmanaged_before: list[UnmanagedOut] = Field(
        description="Packages that only `from` leaves unmanaged, or that it leaves for another reason."
    )
    unmanaged_after: list[UnmanagedOut] = Field(
        description="Packages that only `to` leaves unmanaged, or that it leaves for another reason."
    )


def revision_diff(before: TargetRevision, after: TargetRevision) -> HttpResponse:
    """In the form of `RevisionDiffOut`; both are read with their state. Raises StateTooLarge, ComparisonTooLong."""
    changes = difference.compare(states.load(before.state), states.load(after.state))
    files = [
        {
            "name": one.after.name,
            "version": one.after.version,
            "arch": one.after.arch,
            "from": _side(one.before),
            "to": _side(one.after),
        }
        for one in target_files.compare(before, after)
    ]
    old, new = before.unmanaged or [], after.unmanaged or []
    body = {
        "from": revisions.identity(before),
        "to": revisions.identity(after),
        "equal": revisions.digest(before) == revisions.digest(after),
        "counts": difference.counts(changes),
        "changes": difference.as_json(changes),
        "files": files,
        "unmanaged_before": [one for one in old if one not in new],
        "unmanaged_after": [one for one in new if one not in old],
    }
    return HttpResponse(json.dumps(body), content_type="application/json; charset=utf-8")


def _side(file: TargetFile) -> dict[str, object]:
    return {"repository": file.repository, "filename": file.filename, "sha256": file.sha256, "size": file.size}


class ConfirmIn(Body):
    """The current target must be the one that was seen."""

    expected_number: RevisionNumber | None = Field(
        None,
        description="The revision that you saw (0 if there was none). If it isn't the current one: `target_changed`.",
    )


class _TargetChange(ConfirmIn):
    comment: Text500 = ""


class TargetIn(_TargetChange):
    """Take the current state of `endpoint` as the pool's target."""

    endpoint: Name
    expected_digest: Digest | None = Field(
        None, description="The `digest` of the preview that you saw. If it isn't what it would be: `source_changed`."
    )
    force: bool = Field(
        False,
        description="Make a new revision even if it has what the current one has, and from a source that isn't sound "
        "where that may be forced.",
    )


class GoBackIn(_TargetChange):
    """Take the state of revision `number` again, as a new revision."""

    number: int = Field(ge=1, le=MAX_INTEGER)


class PromoteIn(_TargetChange):
    """Take the current target of the pool `source`."""

    source: Name
    expected_source: RevisionNumber | None = Field(
        None, description="The revision of `source` that you saw. If it isn't the current one: `target_changed`."
    )
