"""What an item that needs attention is: its kind, how bad it is, what it is about.

It must not know how one is found.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Severity(StrEnum):
    """`bad`: something went wrong, or isn't what it should be. `warn`: something waits for a person or a machine."""

    BAD = "bad"
    WARN = "warn"


class AttentionKind(StrEnum):
    """What is wrong, worst first."""

    UNKNOWN_REVISION = "unknown_revision"
    REVOKED_SOURCE = "revoked_source"
    SHARED = "token_shared"
    CHECKSUMS = "checksums"
    FAILED = "failed"
    LOST = "lost"
    DIVERGED = "diverged"
    FILES_DIFFER = "files_differ"
    DATABASES_UNREADABLE = "databases_unreadable"
    UNAPPROVED_TARGET = "unapproved_target"
    AWAITS_APPROVAL = "awaits_approval"
    OTHER_ARCHITECTURE = "other_architecture"
    RESTING = "resting"
    OFFLINE = "offline"
    TOKENS_EXPIRE = "tokens_expire"


_BAD = frozenset(list(AttentionKind)[: list(AttentionKind).index(AttentionKind.DIVERGED) + 1])


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing to look at. `object` names it as the audit does: `endpoint:m1`, `pool:lab`, `token:ci`, or `fleet`.

    `count` is how many endpoints (or pools, of what concerns whole pools; or tokens) it is about; `pool` the name of
    theirs, where it is one. `operation` is set where one operation went wrong. `since` is when the oldest of it began;
    None where that isn't known.
    """

    kind: AttentionKind
    object: str
    cause: str
    since: datetime | None
    count: int = 1
    pool: str | None = None
    endpoint: str | None = None
    operation: UUID | None = None

    @property
    def severity(self) -> Severity:
        return Severity.BAD if self.kind in _BAD else Severity.WARN
