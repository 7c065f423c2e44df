"""What one endpoint would give as a target: what is shared, and what is left out and why. It writes nothing.

It must not know who may set targets or how the pool's endpoints follow.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from . import goals, mirrors, repositories, revisions, states, target_files, time_limit
from .alpm.state import InstalledPackage
from .alpm.target_files import TargetFile
from .exceptions import Conflict
from .models import Endpoint, EndpointRepository, Pool, State
from .patterns import Matcher
from .revisions import Offered, Unmanaged

DROPPED, FOREIGN, EXCLUDED, HELD = "dropped", "foreign", "excluded", "held"
# The other contents of the pool that are searched for a name: each is a read of some 10 ms.
_CONTENTS_ASKED = 16


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A target that an endpoint would give: packages with their files, what is left out, the repositories."""

    packages: list[InstalledPackage]
    files: list[TargetFile]
    unmanaged: list[Unmanaged]
    repositories: list[dict[str, Any]]

    @cached_property
    def digest(self) -> str:
        """The digest that a revision of exactly this gets. Nothing is saved for it."""
        state, files = states.digest(self.packages), target_files.digest(self.files)
        return revisions.digest_of(state=state, files=files, unmanaged=self.unmanaged)


def propose(*, pool: Pool, endpoint: Endpoint) -> Proposal:
    """The endpoint's packages as the others of the pool can have them, and those that they can't.

    Raises StateUnknown when the endpoint hasn't reported, Conflict when nothing is left, ComparisonTooLong.
    """
    packages = states.load(goals.reported_state(endpoint))
    if not packages:
        raise Conflict(f"{endpoint.name} has no packages at all: that is no target.")
    installed = [package.name for package in packages]
    unmanaged = left_out(installed, pool=pool, endpoint=endpoint)
    names = {one["name"] for one in unmanaged}
    shared = [package for package in packages if package.name not in names]
    if not shared:
        raise Conflict(f"All packages of {endpoint.name} are foreign, held or excluded: nothing is left for a target.")
    return Proposal(
        packages=shared,
        files=target_files.found_at(endpoint, shared),
        unmanaged=sorted([*unmanaged, *_dropped_elsewhere(installed, pool=pool, endpoint=endpoint)], key=_by_name),
        repositories=[
            {"name": row.name, "digest": row.content_id, "mirrors": _public(row.mirrors)}
            for row in endpoint.repositories.all()
        ],
    )


def _public(urls: Collection[str]) -> list[str]:
    return list(dict.fromkeys(url for mirror in urls if (url := mirrors.public(mirror))))


def left_out(names: Collection[str], *, pool: Pool, endpoint: Endpoint) -> list[Unmanaged]:
    """Those of the installed names that a target from this endpoint doesn't manage, sorted, with why.

    `foreign`: in none of its repositories, and no operation brought it. `dropped`: that, and one of them had it while
    it was installed, or the current target has it, or a repository of the same name offers it to another endpoint of
    the pool, or offered it to the target's source.
    Else `excluded` by the pool, or `held` by the machine.
    """
    foreign, excluded, held = set(endpoint.foreign), Matcher(pool.excluded_packages), Matcher(endpoint.holds)
    dropped = _dropped(foreign.intersection(names), pool=pool, endpoint=endpoint).union(endpoint.dropped or ())
    found: list[Unmanaged] = []
    for name in sorted(names):
        why = DROPPED if name in dropped else FOREIGN if name in foreign else ""
        why = why or (EXCLUDED if excluded.matches(name) else HELD if held.matches(name) else "")
        if why:
            found.append({"name": name, "why": why})
    return found


def _by_name(one: Unmanaged) -> str:
    return one["name"]


def _other_contents(*, pool: Pool, endpoint: Endpoint) -> list[str]:
    """What repositories of these names held for the current target's source, or hold for others, by digest."""
    own = set(endpoint.repositories.values_list("name", flat=True))
    before = pool.target.repositories if pool.target else []
    digests = [one["digest"] for one in before if one["name"] in own]
    others = EndpointRepository.objects.filter(endpoint__pool=pool, name__in=own).exclude(endpoint=endpoint)
    digests += others.order_by("content_id").values_list("content_id", flat=True).distinct()[:_CONTENTS_ASKED]
    return list(dict.fromkeys(digests))


def _dropped_elsewhere(installed: Collection[str], *, pool: Pool, endpoint: Endpoint) -> list[Unmanaged]:
    """What upstream dropped, the source hasn't, and another endpoint has as foreign: everybody keeps it.

    Otherwise an endpoint with older databases would remove what its twin with newer ones keeps. It counts only if
    exactly this build was in one of the repositories: what somebody rebuilt is that endpoint's own affair.
    """
    others = Endpoint.objects.filter(pool=pool).exclude(pk=endpoint.pk).exclude(foreign=[])
    names: dict[str, set[str]] = {}
    for state, foreign in others.values_list("state", "foreign").iterator(chunk_size=2000):
        names.setdefault(state, set()).update(foreign)
    own = Offered(endpoint.repositories.values_list("content_id", flat=True))
    candidates = {name for name in set().union(*names.values()) - set(installed) if name not in own}
    builds: set[tuple[str, str, str]] = set()
    for digest in _other_contents(pool=pool, endpoint=endpoint) if candidates else ():
        time_limit.check()
        builds |= {(one.name, one.version, one.arch) for one in repositories.offered(digest, candidates).values()}
    asked = {name for name, *_ in builds}
    found: set[str] = set()
    for state, foreign in names.items():
        if asked & foreign - found:
            time_limit.check()
            packages = states.load(State.objects.get(pk=state))
            kept = {one for one in packages if one.name in foreign}
            found |= {one.name for one in kept if (one.name, one.version, one.arch) in builds}
    return [{"name": name, "why": DROPPED} for name in found]


def _dropped(foreign: Collection[str], *, pool: Pool, endpoint: Endpoint) -> set[str]:
    """The foreign names that the current target has, or that its repositories offer elsewhere in the pool."""
    if not foreign:
        return set()
    offered = Offered(_other_contents(pool=pool, endpoint=endpoint))
    managed = {package.name for package in states.load(pool.target.state)} if pool.target else set()
    return {name for name in foreign if name in managed or name in offered}
