"""What one endpoint would give as a target: what is shared, and what is left out and why. It writes nothing.

It must not know who may set targets, nor how the pool's endpoints follow.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from . import goals, mirrors, states, target_files
from .alpm.state import InstalledPackage
from .alpm.target_files import TargetFile
from .exceptions import Conflict
from .models import Endpoint, EndpointRepository, Pool
from .patterns import Matcher
from .revisions import Offered, Unmanaged

DROPPED, FOREIGN, EXCLUDED, HELD = "dropped", "foreign", "excluded", "held"
# So many other contents of the pool are asked whether they still offer a name: each is a read of some 10 ms.
_CONTENTS_ASKED = 16


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A target that an endpoint would give: packages with their files, what is left out, the repositories."""

    packages: list[InstalledPackage]
    files: list[TargetFile]
    unmanaged: list[Unmanaged]
    repositories: list[dict[str, Any]]


def propose(*, pool: Pool, endpoint: Endpoint) -> Proposal:
    """The endpoint's packages as the others of the pool can have them, and those that they can't.

    Raises StateUnknown when the endpoint hasn't reported, Conflict when nothing is left, ComparisonTooLong.
    """
    packages = states.load(goals.reported_state(endpoint))
    if not packages:
        raise Conflict(f"{endpoint.name} has no packages at all: that is no target.")
    unmanaged = left_out([package.name for package in packages], pool=pool, endpoint=endpoint)
    names = {one["name"] for one in unmanaged}
    shared = [package for package in packages if package.name not in names]
    if not shared:
        raise Conflict(f"All packages of {endpoint.name} are foreign, held or excluded: nothing is left for a target.")
    return Proposal(
        packages=shared,
        files=target_files.found_at(endpoint, shared),
        unmanaged=unmanaged,
        repositories=[
            {"name": row.name, "digest": row.content_id, "mirrors": _public(row.mirrors)}
            for row in endpoint.repositories.all()
        ],
    )


def _public(urls: Collection[str]) -> list[str]:
    return list(dict.fromkeys(url for mirror in urls if (url := mirrors.public(mirror))))


def left_out(names: Collection[str], *, pool: Pool, endpoint: Endpoint) -> list[Unmanaged]:
    """Those of the installed names that a target from this endpoint doesn't manage, sorted, with why.

    `foreign`: in none of its repositories, and no operation brought it. `dropped`: that, and the present target has it,
    or a repository of the same name offers it to another endpoint of the pool, or offered it to the target's source.
    Else `excluded` by the pool, or `held` by the machine.
    """
    foreign, excluded, held = set(endpoint.foreign), Matcher(pool.excluded_packages), Matcher(endpoint.holds)
    dropped = _dropped(foreign.intersection(names), pool=pool, endpoint=endpoint)
    found: list[Unmanaged] = []
    for name in sorted(names):
        why = DROPPED if name in dropped else FOREIGN if name in foreign else ""
        why = why or (EXCLUDED if excluded.matches(name) else HELD if held.matches(name) else "")
        if why:
            found.append({"name": name, "why": why})
    return found


def _dropped(foreign: Collection[str], *, pool: Pool, endpoint: Endpoint) -> set[str]:
    """The foreign names that the present target has, or that its repositories offer elsewhere in the pool."""
    if not foreign:
        return set()
    own = set(endpoint.repositories.values_list("name", flat=True))
    before = pool.target.repositories if pool.target else []
    digests = [one["digest"] for one in before if one["name"] in own]
    others = EndpointRepository.objects.filter(endpoint__pool=pool, name__in=own).exclude(endpoint=endpoint)
    digests += others.order_by("content_id").values_list("content_id", flat=True).distinct()[:_CONTENTS_ASKED]
    offered = Offered(dict.fromkeys(digests))
    managed = {package.name for package in states.load(pool.target.state)} if pool.target else set()
    return {name for name in foreign if name in managed or name in offered}
