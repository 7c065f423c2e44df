"""Which endpoints would refuse a target, because it lacks what they can't do without. It must not know HTTP.

An endpoint says in its check-ins what it protects and why; its own agent decides (docs/adr/0031). What is said here
is a forecast: a new package may do what an old one did without a name that shows it.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, TypedDict

from . import goals, revisions, states, texts
from .difference import Kept
from .exceptions import Invalid
from .models import Endpoint, Pool
from .revisions import Unmanaged

MAX_ROLES = 20
MAX_NAMES = 100
NEEDS = ("one", "each")


class Protected(TypedDict):
    """`names` are installed packages, `why` is a clause; `needs`: one of them is enough, or each is needed.

    A package named in `instead`, if the target has it, does what they do.
    """

    role: str
    why: str
    names: list[str]
    needs: str
    instead: list[str]


class Removal(NamedTuple):
    """A protected package that a sync would remove, and why the endpoint protects it."""

    name: str
    why: str


class Refusing(NamedTuple):
    """An endpoint that would refuse, by its name."""

    endpoint: str
    removals: list[Removal]


def checked(protected: Sequence[Protected]) -> list[Protected]:
    """What was reported if it can be kept. Raises Invalid."""
    if len(protected) > MAX_ROLES:
        raise Invalid(f"protected: more than {MAX_ROLES}.", field="protected")
    for one in protected:
        texts.line(one["role"], field="protected.role", maximum=50)
        texts.line(one["why"], field="protected.why", maximum=1000)
        if one["needs"] not in NEEDS:
            raise Invalid(f"protected.needs must be one of {', '.join(NEEDS)}.", field="protected.needs")
        for field, names in (("protected.names", one["names"]), ("protected.instead", one["instead"])):
            if len(names) > MAX_NAMES:
                raise Invalid(f"{field}: more than {MAX_NAMES}.", field=field)
            for name in names:
                texts.line(name, field=field, maximum=255)
    return [
        Protected(
            role=one["role"],
            why=one["why"],
            names=list(one["names"]),
            needs=one["needs"],
            instead=list(one["instead"]),
        )
        for one in protected
    ]


def removals(protected: Iterable[Protected], remaining: Collection[str]) -> list[Removal]:
    """What is protected and not among the names that would be there afterwards, sorted by name."""
    found = []
    for one in protected:
        gone = [name for name in one["names"] if name not in remaining]
        if one["needs"] == "one" and len(gone) < len(one["names"]):
            continue
        if not any(name in remaining for name in one["instead"] if name not in one["names"]):
            found += [Removal(name, one["why"]) for name in gone]
    return sorted(found)


def refused_by(endpoint: Endpoint, goal: goals.Goal) -> list[Removal]:
    """What the endpoint would refuse to remove on the way to this goal."""
    return removals(endpoint.protected or (), {package.name for package in goal.packages})


def refusing(pool: Pool) -> list[Refusing]:
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
) -> list[Refusing]:
    """The endpoints of the pool that would refuse a target with these names, by name.

    What an endpoint keeps anyway is no removal. Endpoints that report the same are judged once.
    """
    left = frozenset(one["name"] for one in unmanaged)
    known: dict[str, list[Removal]] = {}
    found = []
    rows = Endpoint.objects.filter(pool=pool, protected__isnull=False).order_by("name")
    for endpoint in rows.only("name", "holds", "foreign", "protected").iterator(chunk_size=2000):
        key = json.dumps([endpoint.protected, endpoint.holds, endpoint.foreign])
        if key not in known:
            known[key] = _removals(pool, endpoint, names, left, offered)
        if known[key]:
            found.append(Refusing(endpoint.name, known[key]))
    return found


def _removals(
    pool: Pool,
    endpoint: Endpoint,
    names: Collection[str],
    unmanaged: frozenset[str],
    offered: revisions.Offered | frozenset[str],
) -> list[Removal]:
    foreign = [name for name in endpoint.foreign if name not in names and name not in offered]
    kept = Kept(held=endpoint.holds, foreign=foreign, excluded=pool.excluded_packages, unmanaged=unmanaged)
    protected: list[Protected] = endpoint.protected or []
    stay = {name for one in protected for name in one["names"] if kept.why(name)}
    return removals(protected, {*names, *stay})
