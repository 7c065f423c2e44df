"""What needs an operator, in the API: a pool's alarms, and packages with more than one file."""

from typing import Literal

from pydantic import BaseModel, Field

from apps.api.requests.fields import Time


class PoolAlarmOut(BaseModel):
    """Why a pool needs an operator, and which endpoint and revision it is about."""

    alarm: Literal["revoked_source", "unknown_revision", "unapproved_target"]
    text: str
    endpoint: str | None
    revision_before: int | None = Field(description="The newest revision that doesn't come from that endpoint.")


class ConflictingFileOut(BaseModel):
    """One of the files, and who has it: endpoints by their repositories, targets by what they recorded."""

    sha256: str
    filename: str
    endpoints: int = Field(description="How many endpoints see it in their repositories.")
    names: list[str] = Field(description="At most ten of them.")
    repositories: list[str] = Field(description="The repositories that have it there.")
    revisions: list[str] = Field(description="Target revisions that hold it, like `lab #3`; at most ten.")


class ChecksumConflictOut(BaseModel):
    """A package version that the fleet has more than one file for."""

    name: str
    version: str
    arch: str
    files: list[ConflictingFileOut]
    since: Time
