"""What a target revision says, read from its row: its identity, its mirrors, what it leaves alone. It writes nothing.

It must not know who may set targets or how endpoints are compared with one.
"""

from collections.abc import Iterable
from typing import Any, TypedDict

from . import mirrors, repositories
from .alpm import canonical
from .exceptions import NotFound
from .models import TargetRevision

# The first line of the text that a revision's digest is over: another text, another line.
_FORMAT = "pacsync-target 1"


class Unmanaged(TypedDict):
    """A package that the target leaves alone on every endpoint. `why`: foreign, dropped, excluded, held."""

    name: str
    why: str


def digest_of(*, state: str, files: str | None, unmanaged: Iterable[Unmanaged] | None) -> str:
    """The digest of a revision: SHA-256 over the digests of its parts, `-` for one that wasn't recorded.

    Where the packages come from isn't part of it: mirrors say where to look, not what to accept.
    """
    left = "-" if unmanaged is None else canonical.digest_of(unmanaged_text(unmanaged))
    lines = (_FORMAT, f"state {state}", f"files {files or '-'}", f"unmanaged {left}")
    return canonical.digest_of("".join(f"{line}\n" for line in lines).encode())


def unmanaged_text(unmanaged: Iterable[Unmanaged]) -> bytes:
    """The canonical text of unmanaged names: one line `pkgname why` for each."""
    return canonical.write_lines([f"{one['name']} {one['why']}" for one in unmanaged])


def digest(revision: TargetRevision) -> str:
    """The revision's digest, even if it was made by a release that kept only its state."""
    return revision.digest or digest_of(state=revision.state_id, files=None, unmanaged=None)


def identity(revision: TargetRevision) -> dict[str, Any]:
    """{"number", "digest"}: how agents name the revision that they have seen."""
    return {"number": revision.number, "digest": digest(revision)}


def unmanaged_names(revision: TargetRevision) -> frozenset[str]:
    """The names that every endpoint keeps as they are."""
    return frozenset(one["name"] for one in revision.unmanaged or ())


def mirrors_of(revision: TargetRevision) -> dict[str, list[str]]:
    """The mirrors that the revision brings, by repository, without credentials."""
    return {
        repository["name"]: [url for mirror in repository["mirrors"] if (url := mirrors.public(mirror))]
        for repository in revision.repositories
    }


class Offered:
    """What repository contents offer: `name in offered`. Contents that aren't kept any more offer nothing."""

    def __init__(self, digests: Iterable[str]) -> None:
        self._digests = tuple(digests)

    def __contains__(self, name: object) -> bool:
        return any(name in _names(digest) for digest in self._digests)


def _names(digest: str) -> frozenset[str]:
    try:
        return repositories.names(digest)
    except NotFound:
        return frozenset()


def offered_by(revision: TargetRevision) -> Offered:
    """What the repositories of the revision's source offered."""
    return Offered(repository["digest"] for repository in revision.repositories)
