"""What `endpoint:NAME`, `revision:POOL/NUMBER` and `state:DIGEST` refer to: one state of packages each.

The same words name the sides of a comparison in the API, on pages and in commands. It must not know what is done with
them.
"""

import re
from typing import NamedTuple

from .exceptions import Invalid, NotFound, StateUnknown
from .models import Endpoint, State, TargetRevision

FORMS = "endpoint:NAME, revision:POOL/NUMBER or state:DIGEST"
_ENDPOINT, _REVISION, _STATE = "endpoint", "revision", "state"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)
_MAX_NUMBER = 2**31 - 1


class Reference(NamedTuple):
    """What a text refers to: `text` in its usual form, `label` for people, and the state behind it."""

    text: str
    label: str
    state: State


def find(text: str) -> Reference:
    """Raises Invalid (none of the three forms), NotFound, StateUnknown (the endpoint hasn't reported)."""
    kind, _, rest = text.partition(":")
    finders = {_ENDPOINT: _endpoint, _REVISION: _revision, _STATE: _state}
    if kind not in finders or not rest:
        raise Invalid(f"Name a set of packages as {FORMS}.")
    if "\0" in rest or len(rest) > 1000:
        raise NotFound(f"There is no such {kind}.")
    return finders[kind](rest)


def of_endpoint(name: str) -> str:
    return f"{_ENDPOINT}:{name}"


def of_revision(pool: str, number: int) -> str:
    return f"{_REVISION}:{pool}/{number}"


def of_state(digest: str) -> str:
    return f"{_STATE}:{digest}"


def _endpoint(name: str) -> Reference:
    endpoint = Endpoint.objects.select_related("state").filter(name=name).first()
    if endpoint is None:
        raise NotFound("There is no such endpoint.")
    if endpoint.state is None:
        raise StateUnknown(f"{endpoint.name} has not reported its packages yet.")
    return Reference(of_endpoint(name), name, endpoint.state)


def _revision(text: str) -> Reference:
    pool, _, number = text.partition("/")
    found = None
    if _NUMBER.fullmatch(number) and int(number) <= _MAX_NUMBER:
        rows = TargetRevision.objects.select_related("state").defer("unmanaged", "repositories")
        found = rows.filter(pool__name=pool, number=int(number)).first()
    if found is None:
        raise NotFound("There is no such revision.")
    return Reference(of_revision(pool, found.number), f"{pool} #{found.number}", found.state)


def _state(digest: str) -> Reference:
    found = State.objects.filter(pk=digest).first() if _DIGEST.fullmatch(digest) else None
    if found is None:
        raise NotFound("There is no such state.")
    return Reference(of_state(digest), f"state {digest[:12]}", found)
