"""What machines say about the keys that they trust to sign revisions. It verifies nothing, and must not know HTTP."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from .models import Endpoint, TargetRevision


def checked(
    *, keys: Iterable[str], pool: str | None, accepted: int | None, problem: str | None = None
) -> dict[str, Any]:
    """An endpoint's `signing`: the keys once each, sorted; the pool that it follows, the last accepted revision.

    `problem` is a code: the machine can't read its keys, and follows nothing.
    """
    return {"keys": sorted(set(keys)), "pool": pool, "accepted": accepted, "problem": problem}


def follows(endpoint: Endpoint, revision: TargetRevision) -> bool:
    """Whether the endpoint may follow the revision at all: it trusts no key, or there is a signature that is good now.

    Only the machine knows whether one of its keys made the signature.
    """
    if endpoint.signing is None:
        return True
    return revision.signed_until is not None and revision.signed_until > datetime.now(UTC)
