"""The newest target revision that this machine has seen, kept on its disk. It must not know how operations run.

A server that was restored from a backup doesn't know that it had newer revisions. The machines do: they send it with
each report, and don't follow an automatic operation back until an operator confirms.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ..errors import Refused
from ..system import files
from .response_fields import LARGEST, is_digest

AUTOMATIC = "policy:"  # prefix of the author of an operation that a pool's policy made


@dataclass(frozen=True)
class Revision:
    """A target revision by number; `digest` is that of its content, None if the server gave none."""

    number: int
    digest: Optional[str]

    def as_json(self) -> dict[str, Any]:
        return {"number": self.number, "digest": self.digest}

    def differs(self, other: Revision) -> bool:
        """Whether the two have the same number and different contents."""
        known = self.digest is not None and other.digest is not None
        return self.number == other.number and known and self.digest != other.digest


def revision_of(value: object) -> Optional[Revision]:
    """The revision in an answer of the server; None when it has none that could be sent back."""
    if not isinstance(value, dict):
        return None
    number, digest = value.get("number"), value.get("digest")
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= LARGEST:
        return None
    if digest is not None and not is_digest(digest):
        return None
    return Revision(number, digest)


class RevisionSeen:
    """The record of the newest revision of the machine's pool. An unreadable file counts as missing."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "revision.json"

    def load(self, pool: Optional[str] = None) -> Optional[Revision]:
        """The newest revision seen; None when there was none yet, or it was another pool's."""
        try:
            value = files.read_json(self.path) or {}
        except ValueError:
            return None
        return revision_of(value) if pool in (None, value.get("pool")) else None

    def note(self, pool: object, answer: object) -> str:
        """Record the pool's revision by the server. What is wrong with it, in a sentence, or an empty text.

        An older one, or another one with the same number, is not recorded: when an operator confirms the target, it
        gets a number above all that were seen.
        """
        revision = revision_of(answer)
        if revision is None or not isinstance(pool, str):
            return ""
        seen = self.load(pool)
        problem = went_back(pool, revision, seen)
        if not problem and revision != seen:
            self._write(pool, revision)
        return problem

    def accept(self, pool: object, answer: object) -> None:
        """Record a revision that a person synced this machine to, or made of it, whatever was seen before.

        That is the way out of a number that this server will never reach, because another server gave it.
        """
        revision = revision_of(answer)
        if revision is not None and isinstance(pool, str) and revision != self.load(pool):
            self._write(pool, revision)

    def _write(self, pool: str, revision: Revision) -> None:
        files.keep_json(self.path, {"pool": pool, **revision.as_json()}, mode=0o644)

    def check(self, operation: dict[str, Any], answer: object) -> None:
        """Raise Refused when the operation is automatic, and its revision (from the claim) went back.

        An operation that a person asked for, here or on the server, is never refused.
        """
        pool = operation.get("pool")
        if not str(operation.get("author", "")).startswith(AUTOMATIC) or not isinstance(pool, str):
            return
        revision = revision_of(answer) or revision_of({"number": operation.get("revision")})
        problem = went_back(pool, revision, self.load(pool)) if revision else ""
        if problem:
            raise Refused(
                "revision_went_back",
                f"{problem} So it isn't followed automatically.",
                "Confirm the pool's target on the server, set a new one, or run `pacsync-agent sync` here.",
            )


def went_back(pool: str, revision: Revision, seen: Optional[Revision]) -> str:
    """How `revision` is behind the seen one, in a sentence; empty when it isn't."""
    if seen is not None and revision.number < seen.number:
        return (
            f"Revision {revision.number} of pool {pool} is older than revision {seen.number}, which this machine has "
            "seen: the server may have been restored from a backup."
        )
    if seen is not None and revision.differs(seen):
        return (
            f"Revision {revision.number} of pool {pool} isn't what this machine has seen under that number: the "
            "server may have been restored from a backup."
        )
    return ""
