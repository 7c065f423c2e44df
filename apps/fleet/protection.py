"""Which endpoints would refuse a target, because it lacks packages that they protect. It must not know HTTP.

An endpoint says in its check-ins what it protects and why; its own agent decides (docs/adr/0031). What is said here
is a forecast: a new package may do what an old one did without a name that shows it.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, TypedDict

from . import goals, limits, revisions, states, text_input
from .difference import KeptPackages
from .exceptions import Invalid
from .models import Endpoint, Pool
from .revisions import Unmanaged

NEEDS = ("one", "each")


class ProtectedPackages(TypedDict):
    """`names` lists installed packages, `why` is a clause; `needs`: one of them is enough, or each is needed.

    A package named in `instead`, if the target has it, does what they do.
    """

    role: str
    why: str
    names: list[str]
    needs: str
    instead: list[str]


class RefusedRemoval(NamedTuple):
    """A protected package that a sync would remove, and why the endpoint protects it."""

    name: str
    why: str


class RefusingEndpoint(NamedTuple):
    """An endpoint that would refuse, by its name."""

    endpoint: str
    removals: list[RefusedRemoval]


def checked(protected: Sequence[ProtectedPackages]) -> list[ProtectedPackages]:
    """What was reported if it can be kept. Raises Invalid."""
    if len(protected) > limits.PROTECTED_ROLES:
        raise Invalid(f"protected: more than {limits.PROTECTED_ROLES}.", field="protected")
    for one in protected:
        text_input.line(one["role"], field="protected.role", maximum=limits.ROLE_LENGTH)
        text_input.line(one["why"], field="protected.why", maximum=limits.ROLE_REASON_LENGTH)
        if one["needs"] not in NEEDS:
            raise Invalid(f"protected.needs must be one of {', '.join(NEEDS)}.", field="protected.needs")
        for field, names in (("protected.names", one["names"]), ("protected.instead", one["instead"])):
            if len(names) > limits.PROTECTED_NAMES:
                raise Invalid(f"{field}: more than {limits.PROTECTED_NAMES}.", field=field)
            for name in names:
                text_input.line(name, field=field, maximum=limits.PACKAGE_NAME_LENGTH)
    return [
        ProtectedPackages(
            role=one["role"],
            why=one["why"],
            names=list(one["names"]),
            needs=one["needs"],
            instead=list(one["instead"]),
        )
        for one in protected
    ]


def removals(protected: Iterable[ProtectedPackages], remaining: Collection[str]) -> list[RefusedRemoval]:
    """What is protected and not among the names that would be there afterwards, sorted by name."""
    found = []
    for one in protected:
        gone = [name for name in one["names"] if name not in remaining]
        if one["needs"] == "one" and len(gone) < len(one["names"]):
            continue
        if not any(name in remaining for name in one["instead"] if name not in one["names"]):
            found += [RefusedRemoval(name, one["why"]) for name in gone]
    return sorted(found)


def refused_by(endpoint: Endpoint, goal: goals.Goal) -> list[RefusedRemoval]:
    """What the endpoint would refuse to remove on the way to this goal."""
    return removals(endpoint.protected or (), {package.name for package in goal.packages})


def refusing(pool: Pool) -> list[RefusingEndpoint]:
    """The endpoints of the pool that would refuse its current target, by name."""
    target = pool.target
    if target is None:
        return []
    names = {package.name for package in states.load(target.state)}
    return refusing_target(pool, names=names, unmanaged=target.unmanaged or (), offered=revisions.offered_by(target))


def refusing_target(
    pool: Pool,
    *,
    names: Collection[str],
    unmanaged: Iterable[Unmanaged],
    offered: revisions.Offered | frozenset[str] = frozenset(),
) -> list[RefusingEndpoint]:
    """The endpoints of the pool that would refuse a target with these names, by name.

    A package that the endpoint keeps anyway isn't removed. Endpoints that report the same are computed once.
    """
    left = frozenset(one["name"] for one in unmanaged)
    known: dict[str, list[RefusedRemoval]] = {}
    found = []
    rows = Endpoint.objects.filter(pool=pool, protected__isnull=False).order_by("name")
    for endpoint in rows.only("name", "holds", "foreign", "protected").iterator(chunk_size=2000):
        key = json.dumps([endpoint.protected, endpoint.holds, endpoint.foreign])
        if key not in known:
            known[key] = _removals(pool, endpoint, names, left, offered)
        if known[key]:
            found.append(RefusingEndpoint(endpoint.name, known[key]))
    return found


def _removals(
    pool: Pool,
    endpoint: Endpoint,
    names: Collection[str],
    unmanaged: frozenset[str],
    offered: revisions.Offered | frozenset[str],
) -> list[RefusedRemoval]:
    foreign = [name for name in endpoint.foreign if name not in names and name not in offered]
    kept = KeptPackages(held=endpoint.holds, foreign=foreign, excluded=pool.excluded_packages, unmanaged=unmanaged)
    protected: list[ProtectedPackages] = endpoint.protected or []
    stay = {name for one in protected for name in one["names"] if kept.why(name)}
    return removals(protected, {*names, *stay})
