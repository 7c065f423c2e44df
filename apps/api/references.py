"""What `endpoint:NAME`, `revision:POOL/NUMBER` and `state:DIGEST` refer to. It must not know what is done with it."""

import re

from apps.api.fields import MAX_INTEGER
from apps.api.lookups import endpoint_named, pool_named, state_with
from apps.api.problems import FieldError, Refused
from apps.fleet import states
from apps.fleet.alpm.state import InstalledPackage
from apps.fleet.exceptions import NotFound, StateUnknown
from apps.fleet.models import State, TargetRevision

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)


def packages_of(parameter: str, reference: str) -> list[InstalledPackage]:
    """The packages of what the query parameter names. Raises NotFound, StateUnknown, Refused (invalid_request)."""
    kind, _, rest = reference.partition(":")
    finders = {"endpoint": _of_endpoint, "revision": _of_revision, "state": _of_digest}
    if kind not in finders or not rest:
        message = "Should be endpoint:NAME, revision:POOL/NUMBER or state:DIGEST"
        raise Refused("invalid_request", errors=[FieldError(loc=["query", parameter], message=message)])
    return states.load(finders[kind](rest))


def _of_endpoint(name: str) -> State:
    endpoint = endpoint_named(name)
    if endpoint.state is None:
        raise StateUnknown(f"{endpoint.name} has not reported its packages yet.")
    return endpoint.state


def _of_revision(text: str) -> State:
    name, _, number = text.partition("/")
    if not _NUMBER.fullmatch(number) or int(number) > MAX_INTEGER:
        raise NotFound("There is no such revision.")
    revision = TargetRevision.objects.select_related("state").filter(pool=pool_named(name), number=int(number)).first()
    if revision is None:
        raise NotFound("There is no such revision.")
    return revision.state


def _of_digest(digest: str) -> State:
    if not _DIGEST.fullmatch(digest):
        raise NotFound("There is no such state.")
    return state_with(digest)
