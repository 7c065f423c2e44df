"""What endpoints with equal packages, target and kept names share: their case, compared once for the whole fleet.

A state and a revision never change, so neither does the result. It is looked for in this process, then in the
database, where a chore puts it (`apps.fleet.fleet_statuses`), and compared here only if neither has it. For lists: a
few queries for each 200 distinct pairs of states. It must not know when an endpoint is offline.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from django.conf import settings
from django.db.models import F

from . import difference, revisions, states
from .alpm.names import machine_arch
from .alpm.state import InstalledPackage
from .bounded_cache import BoundedCache
from .difference import Change, ChangeKind, KeptPackages
from .exceptions import ComparisonTooLong
from .models import Endpoint, Pool, StatusCase
from .revisions import Offered

logger = logging.getLogger(__name__)

RULES = 1
"""The number of the rules by which states are compared. Raise it with every change of what comes out: then no result
of the release before counts, and instances of both releases can run side by side."""
PAIRS_AT_ONCE = 200
Counts = Mapping[ChangeKind, int]


class Goal(NamedTuple):
    """A pool's part of the cases of its endpoints. What follows `limit` is given by the revision.

    `limit` is STATE_MAX_PACKAGES, so that a higher one counts at once. `recorded` lists the digests of the repositories
    of the target's source, `unmanaged` the names that the target leaves alone.
    """

    revision: int
    created: str  # in case a database is restored and gives its primary key again
    excluded: tuple[str, ...]
    limit: int
    state: str
    arch: str
    recorded: tuple[str, ...]
    unmanaged: frozenset[str]

    @property
    def own(self) -> tuple[object, ...]:
        """What tells it from other goals."""
        return self[:4]


class Case(NamedTuple):
    """All that the packages' part of a status depends on: endpoints with equal cases share the answer."""

    state: str
    arch: str
    holds: tuple[str, ...]
    foreign: tuple[str, ...]
    goal: Goal

    @property
    def is_exact(self) -> bool:
        """In exactly the target state: there is nothing to compare."""
        return self.state == self.goal.state

    @property
    def fits(self) -> bool:
        """Whether the target is for a machine of this architecture."""
        return self.goal.arch in (machine_arch(self.arch), "any")

    @property
    def key(self) -> str:
        """A short key: an endpoint can have thousands of foreign packages, and they would all be kept with the counts.

        32 hexadecimal digits, the same in every process.
        """
        parts = (*self[:4], *self.goal.own)
        # Releases that had no such number mean 1. repr tells all parts, and is equal in every process.
        text = repr(parts if RULES == 1 else (RULES, *parts))
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


# How many changes of each kind there are in a case, for lists and pages; None for states that are too large to be
# compared. As many as a fleet of 10,000 endpoints has, each in a state of its own: some 400 bytes each.
_known: BoundedCache[str, Counts | None] = BoundedCache(16_384)


def forget() -> None:
    """For tests: compare everything again."""
    _known.clear()


def goals(pools: Iterable[int]) -> dict[int, Goal]:
    """The goal of each of these pools that has a target, by the pool's primary key."""
    found: dict[int, Goal] = {}
    for chunk in states.chunks(sorted(pools)):
        rows = Pool.objects.filter(pk__in=chunk, target__isnull=False).select_related("target")
        for pool in rows.annotate(arch=F("target__state__arch")):
            if target := pool.target:
                found[pool.pk] = Goal(
                    revision=target.pk,
                    created=target.created.isoformat(),
                    excluded=tuple(pool.excluded_packages),
                    limit=settings.STATE_MAX_PACKAGES,
                    state=target.state_id,
                    arch=pool.arch,
                    recorded=tuple(repository["digest"] for repository in target.repositories),
                    unmanaged=revisions.unmanaged_names(target),
                )
    return found


def of(endpoint: Endpoint, goals: Mapping[int, Goal]) -> Case | None:
    """The endpoint's case; None if it has no packages or its pool no target."""
    goal = goals.get(endpoint.pool_id or 0)
    if endpoint.state_id is None or goal is None:
        return None
    return Case(endpoint.state_id, endpoint.arch, tuple(endpoint.holds), tuple(endpoint.foreign), goal)


def counted(cases: set[Case]) -> dict[Case, Counts | None]:
    """The changes of each case by kind, without the kinds that have none.

    Those that are too large, or that this request has no time left for, have None.
    """
    keys = {case: case.key for case in cases}
    known = _known.among(keys.values())
    known.update(_stored(set(keys.values()) - known.keys()))
    found = {case: known[key] for case, key in keys.items() if key in known}
    rest = iter(sorted(cases - found.keys(), key=_order))
    try:
        while chunk := list(islice(rest, PAIRS_AT_ONCE)):
            for case, counts in compared(chunk).items():
                found[case] = _known[keys[case]] = counts
    except ComparisonTooLong:
        logger.warning("no time was left to compare %d of %d pairs of states", len(cases - found.keys()), len(cases))
    return {case: found.get(case) for case in cases}


def compared(cases: list[Case]) -> dict[Case, Counts | None]:
    """The same of at most PAIRS_AT_ONCE cases, compared now. Raises ComparisonTooLong."""
    pairs = _differing({(case.state, case.goal.state) for case in cases}, settings.STATE_MAX_PACKAGES)
    found: dict[Case, Counts | None] = {}
    for case in cases:
        sides = pairs[case.state, case.goal.state]
        found[case] = Counter(change.kind for change in _changes(case, *sides)) if sides else None
    return found


def _stored(keys: set[str]) -> dict[str, Counts | None]:
    """What the database knows of these, remembered from now on. No query without keys."""
    found: dict[str, Counts | None] = {}
    for chunk in states.chunks(sorted(keys)):
        for key, kinds in StatusCase.objects.filter(pk__in=chunk).values_list("key", "kinds"):
            counts = {ChangeKind(kind): number for kind, number in kinds.items()} if kinds is not None else None
            found[key] = _known[key] = counts
    return found


def _order(case: Case) -> tuple[object, ...]:
    return case.goal.recorded, case.state, case.goal.state


Side = list[InstalledPackage]


def _changes(case: Case, installed: Side, target: Side) -> Iterator[Change]:
    """The changes of a case, from only the packages in which state and target differ."""
    managed, offered = {package.name for package in target}, Offered(case.goal.recorded)
    foreign = [name for name in case.foreign if name not in managed and name not in offered]
    kept = KeptPackages(held=case.holds, foreign=foreign, excluded=case.goal.excluded, unmanaged=case.goal.unmanaged)
    return (change for change in difference.compare(installed, target) if not kept.why(change.name))


def _differing(pairs: set[tuple[str, str]], limit: int) -> dict[tuple[str, str], tuple[Side, Side] | None]:
    """For each pair of states, the packages that only one of the two has; None with a state of more than `limit`."""
    packed = states.packed({digest for pair in pairs for digest in pair})
    small = {pair for pair in pairs if max(len(packed[pair[0]]), len(packed[pair[1]])) <= limit}
    apart = {pair: (packed[pair[0]] - packed[pair[1]], packed[pair[1]] - packed[pair[0]]) for pair in small}
    values = states.load_values(set().union(*(one | two for one, two in apart.values())))
    found: dict[tuple[str, str], tuple[Side, Side] | None] = dict.fromkeys(pairs)
    for pair, (one, two) in apart.items():
        found[pair] = ([values[value] for value in one], [values[value] for value in two])
    return found
