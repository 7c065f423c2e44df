"""Why an endpoint has the status that it has, in one sentence about this endpoint. It writes nothing.

The status itself is derived in `status`; here it is only put into words.
"""

from collections.abc import Mapping
from enum import StrEnum

from django.conf import settings

from . import examination
from .alpm.names import machine_arch
from .models import Endpoint, State
from .status import EndpointStatus

# What a change of each kind says of the endpoint compared with its goal, in the order of the sentence.
_BESIDE_TARGET = {
    "upgrade": "older",
    "downgrade": "newer",
    "install": "missing",
    "remove": "not in it",
    "replace": "another build of the same version",
    "reason": "installed for another reason",
}


class Unknown(StrEnum):
    """Why the status is `unknown`: the first that applies."""

    NO_POOL = "no_pool"
    NO_TARGET = "no_target"
    NOT_REPORTED = "not_reported"
    OTHER_ARCHITECTURE = "other_architecture"
    DATABASES_UNREADABLE = "databases_unreadable"
    NOT_COMPARED = "not_compared"


def unknown(endpoint: Endpoint, target_arch: str | None) -> Unknown:
    """Why the status of this endpoint is `unknown`. `target_arch` is that of its pool's target, None without one."""
    if endpoint.pool_id is None:
        return Unknown.NO_POOL
    if target_arch is None:
        return Unknown.NO_TARGET
    if endpoint.state_id is None:
        return Unknown.NOT_REPORTED
    if target_arch not in (machine_arch(endpoint.arch), "any"):
        return Unknown.OTHER_ARCHITECTURE
    if examination.databases_unreadable(endpoint):
        return Unknown.DATABASES_UNREADABLE
    return Unknown.NOT_COMPARED


def why(endpoint: Endpoint, status: str, counts: Mapping[str, int] | None) -> str:
    """One or two sentences: why this endpoint has this status.

    `endpoint` has its pool with the target; `counts` has the changes that a sync would make, by kind.
    """
    if endpoint.awaits_approval:
        return "It waits for an operator's approval: nothing that it reports is kept, and it gets no target."
    if status == EndpointStatus.OFFLINE:
        if not endpoint.token_hash:
            return "Its token was revoked: it is locked out until it has a new one, or enrols again."
        if endpoint.last_seen is None or endpoint.is_as_enrolled:
            return "It enrolled and was never heard from again: its agent isn't running, or can't reach this server."
        return (
            "It hasn't been heard from for three poll intervals: it is off, its agent isn't running, or it can't reach "
            "this server."
        )
    if status == EndpointStatus.UNKNOWN:
        return _why_unknown(endpoint)
    number = endpoint.pool.target.number if endpoint.pool and endpoint.pool.target else 0
    if status == EndpointStatus.IN_SYNC and examination.files_differ(endpoint):
        return f"It has target #{number}'s packages, but files on its disk differ from them."
    if status == EndpointStatus.IN_SYNC and endpoint.pool and endpoint.state_id == endpoint.pool.target.state_id:  # type: ignore[union-attr]
        return f"It has exactly the packages of target #{number}."
    if status == EndpointStatus.IN_SYNC:
        return f"It has the packages of target #{number}, apart from those that are kept as they are here."
    return beside_target(counts or {}, number)


def beside_target(counts: Mapping[str, int], number: int) -> str:
    """`Compared with target #4, 3 packages are older, 2 newer and 1 missing.` `counts` are changes by kind."""
    parts = [(counts[kind], words) for kind, words in _BESIDE_TARGET.items() if counts.get(kind)]
    if not parts:
        return f"Its packages differ from target #{number}."
    (first, words), *others = parts
    said = [f"{first} {'package is' if first == 1 else 'packages are'} {words}", *(f"{n} {w}" for n, w in others)]
    joined = said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"
    return f"Compared with target #{number}, {joined}."


def _why_unknown(endpoint: Endpoint) -> str:
    pool, target = endpoint.pool, endpoint.pool.target if endpoint.pool else None
    arch = State.objects.values_list("arch", flat=True).get(pk=target.state_id) if target else None
    case = unknown(endpoint, arch)
    if case == Unknown.NO_POOL:
        return "It is in no pool, so there is no target to compare it with."
    name = pool.name if pool else ""
    if case == Unknown.NO_TARGET:
        return f"Pool {name} has no target yet, so there is nothing to compare it with."
    if case == Unknown.NOT_REPORTED:
        return "It has not reported its packages yet."
    if case == Unknown.OTHER_ARCHITECTURE:
        return f"It is {endpoint.arch}, and the target of pool {name} is for {arch}. It needs a pool of its own kind."
    if case == Unknown.DATABASES_UNREADABLE:
        found = [one["text"] for one in endpoint.examination or [] if one["code"] == examination.UNREADABLE]
        return f"The server can't tell which of its packages are foreign. {found[0]}"
    return _why_not_compared({endpoint.state_id, target.state_id if target else None})


def _why_not_compared(digests: set[str | None]) -> str:
    limit = settings.STATE_MAX_PACKAGES
    if State.objects.filter(pk__in=[digest for digest in digests if digest], package_count__gt=limit).exists():
        return f"It or the target has more than {limit:,} packages (STATE_MAX_PACKAGES): they aren't compared."
    return "No time was left to compare it (COMPARISON_TIMEOUT). Load the page again."
