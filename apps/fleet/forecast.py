"""What a target would do to the endpoints of a pool, counted by machine, before anybody decides. It writes nothing.

Endpoints that are equal in everything that the effect depends on are compared once. docs/fleet.md has the effects. It
goes by what the endpoints reported last; each agent decides for itself in the end. It must not know HTTP or who may
decide.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

from django.conf import settings
from django.db.models import QuerySet

from . import (
    audit,
    clock,
    difference,
    examination,
    known_package_files,
    protection,
    queued_syncs,
    states,
    status,
    sync_policy,
)
from .alpm.names import machine_arch
from .alpm.state import InstalledPackage
from .difference import Change, ChangeKind, KeptPackages
from .exceptions import ComparisonTooLong
from .models import Endpoint, Operation, OperationStatus, Pool
from .proposed import Package, Proposed
from .queued_syncs import AffectedSyncs
from .revisions import Offered

_STATES_AT_ONCE = 200
# New files come with these.
_FETCHED = (ChangeKind.INSTALL, ChangeKind.UPGRADE, ChangeKind.DOWNGRADE, ChangeKind.REPLACE)


class Effect(StrEnum):
    """What becomes of a machine: exactly one of the first two or of CANNOT; any of the others."""

    CHANGES = "changes"
    UNCHANGED = "unchanged"
    # Why it can't be synced, as `goals.sync_goal` would say.
    SHARED = "token_shared"
    UNREPORTED = "state_unknown"
    OTHER_ARCHITECTURE = "other_architecture"
    DATABASES_UNREADABLE = "databases_unreadable"
    NOTHING_LEFT = "nothing_left"
    NOT_COMPARED = "not_compared"
    # Of those that change.
    FOLLOWS = "follows"
    DOWNGRADES = "downgrades"
    REMOVALS = "removals"
    OFFLINE = "offline"
    ACTIVE = "operation_active"
    PROTECTED = "protected"
    NO_FILE = "no_file"
    LOCKED_OUT = "token_revoked"
    # What differs from the target, and stays as it is.
    HELD = "held"
    FOREIGN = "foreign"
    EXCLUDED = "excluded"
    UNMANAGED = "unmanaged"


CANNOT = (
    Effect.SHARED,
    Effect.UNREPORTED,
    Effect.OTHER_ARCHITECTURE,
    Effect.DATABASES_UNREADABLE,
    Effect.NOTHING_LEFT,
    Effect.NOT_COMPARED,
)
KEPT = (Effect.HELD, Effect.FOREIGN, Effect.EXCLUDED, Effect.UNMANAGED)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """`machines` has the names by effect, each list sorted; `packages` how many machines an effect has a package of.

    `changes` counts the changes of each machine that was compared, by kind; `left` has the syncs to other targets.
    """

    total: int
    machines: Mapping[Effect, list[str]]
    packages: Mapping[Effect, Counter[str]]
    changes: Mapping[str, Mapping[ChangeKind, int]]
    left: AffectedSyncs

    def count(self, effect: Effect) -> int:
        return len(self.machines[effect])


@dataclass(frozen=True)
class _Alike:
    """All that the comparison of an endpoint depends on."""

    state: str
    holds: tuple[str, ...]
    foreign: tuple[str, ...]


@dataclass
class _Comparison:
    """What a sync would do to endpoints that are alike; `packages` lists the names that each effect is about."""

    counts: Counter[ChangeKind] = field(default_factory=Counter)
    packages: dict[Effect, list[str]] = field(default_factory=dict)
    unrecorded: list[Package] = field(default_factory=list)
    kept: KeptPackages | None = None
    cannot: Effect | None = None


def of(pool: Pool, proposed: Proposed, *, among: Collection[str] | None = None) -> Forecast:
    """What it would do to each endpoint of the pool, if it were the pool's target. `pool` with its target.

    `among`: to those of these names only, which one statement can take.

    Endpoints for which no time is left are `not_compared`. The number of queries doesn't grow with the endpoints,
    except for one for each 200 different states.
    """
    found = Endpoint.objects.filter(pool=pool)
    return _Reader(pool, proposed).read(found if among is None else found.filter(name__in=among))


class _Reader:
    def __init__(self, pool: Pool, proposed: Proposed) -> None:
        self.pool, self.proposed = pool, proposed
        self.machines: dict[Effect, list[str]] = {effect: [] for effect in Effect}
        self.packages: dict[Effect, Counter[str]] = {effect: Counter() for effect in Effect}
        self.changes: dict[str, Mapping[ChangeKind, int]] = {}
        self.is_new = proposed.revision is None or proposed.revision != pool.target_id
        # What automatic sync does with the current target is no forecast, unless it waits for an approval.
        self.follows = pool.auto_sync and pool.paused_since is None and (self.is_new or pool.target_needs_approval)

    def read(self, members: QuerySet[Endpoint]) -> Forecast:
        endpoints = list(members.only(*_FIELDS).order_by("name"))
        now, busy = clock.now(), self._busy()
        comparable = {one.pk: _alike(one) for one in endpoints if self._comparable(one)}
        outcomes = self._compared(set(comparable.values()))
        without = known_package_files.unknown_to(
            self.pool,
            {pk: outcomes[alike].unrecorded for pk, alike in comparable.items() if outcomes[alike].unrecorded},
        )
        removed: dict[str, list[str]] = {}
        for one in endpoints:
            alike = comparable.get(one.pk)
            if alike is None:
                self._cannot(one)
                continue
            outcome = outcomes[alike]
            self._note(one, outcome)
            if outcome.counts and outcome.cannot is None:
                self._add(Effect.OFFLINE, one, status.is_offline(one.last_seen, now))
                self._add(Effect.ACTIVE, one, one.pk in busy)
                self._add(Effect.LOCKED_OUT, one, one.token_hash is None)
                self._about(Effect.PROTECTED, one, self._protected(one, outcome, removed))
                self._about(Effect.NO_FILE, one, without.get(one.pk, ()))
        return Forecast(
            total=len(endpoints),
            machines=self.machines,
            packages=self.packages,
            changes=self.changes,
            left=queued_syncs.affected(self.pool, revision=self.proposed.revision, of_pool=self.proposed.pool),
        )

    def _busy(self) -> set[int]:
        """The endpoints with an operation that wouldn't give way: to a new one, nor to a new target."""
        active = Operation.objects.blocking().filter(endpoint__pool=self.pool)
        if self.is_new:  # cancels what the policy has queued (`obsolete_operations.cancel_automatic`)
            active = active.exclude(status=OperationStatus.QUEUED, author__startswith=audit.POLICY)
        if queued_syncs.is_back(self.pool, revision=self.proposed.revision, of_pool=self.proposed.pool):
            active = active.exclude(pk__in=queued_syncs.cancelled_with(self.pool).values("pk"))
        return set(active.values_list("endpoint", flat=True))

    def _comparable(self, one: Endpoint) -> bool:
        """Whether the endpoint can be compared; one in exactly this state always can, as in `status`.

        Where more than one machine is the endpoint, nobody knows what there is to compare.
        """
        if one.token_shared is not None:
            return False
        if one.state_id is None or one.state_id == self.proposed.state:
            return one.state_id is not None
        return not (self._is_other(one) or examination.databases_unreadable(one))

    def _is_other(self, one: Endpoint) -> bool:
        return self.proposed.arch not in (machine_arch(one.arch), "any")

    def _cannot(self, one: Endpoint) -> None:
        effect = Effect.DATABASES_UNREADABLE
        if one.token_shared is not None:
            effect = Effect.SHARED
        elif one.state_id is None:
            effect = Effect.UNREPORTED
        elif self._is_other(one):
            effect = Effect.OTHER_ARCHITECTURE
        self.machines[effect].append(one.name)

    def _note(self, one: Endpoint, outcome: _Comparison) -> None:
        if outcome.cannot is not None:
            self.machines[outcome.cannot].append(one.name)
            return
        self.changes[one.name] = outcome.counts
        self.machines[Effect.CHANGES if outcome.counts else Effect.UNCHANGED].append(one.name)
        for effect, names in outcome.packages.items():
            self._about(effect, one, names)
        kinds = outcome.counts.keys()
        self._add(
            Effect.FOLLOWS,
            one,
            bool(kinds) and self.follows and sync_policy.allows(self.pool.conflict_resolution, kinds),
        )

    def _add(self, effect: Effect, one: Endpoint, applies: bool) -> None:
        if applies:
            self.machines[effect].append(one.name)

    def _about(self, effect: Effect, one: Endpoint, names: Sequence[str]) -> None:
        if names:
            self.machines[effect].append(one.name)
            self.packages[effect].update(names)

    def _protected(self, one: Endpoint, outcome: _Comparison, known: dict[str, list[str]]) -> list[str]:
        """What the endpoint wouldn't remove. Only what a sync removes can be among it."""
        gone = set(outcome.packages.get(Effect.REMOVALS, ()))
        listed = {name for role in one.protected or () for name in role["names"]}
        if not gone & listed or outcome.kept is None:
            return []
        key = repr((one.protected, _alike(one)))
        if key not in known:
            remaining = {*self.proposed.names, *(name for name in listed if outcome.kept.why(name))}
            known[key] = [removal.name for removal in protection.removals(one.protected or (), remaining)]
        return known[key]

    def _compared(self, alike: set[_Alike]) -> dict[_Alike, _Comparison]:
        """The result for each; states are read in batches, so that not all of them are in memory at once."""
        by_state: dict[str, list[_Alike]] = {}
        for one in alike:
            by_state.setdefault(one.state, []).append(one)
        found: dict[_Alike, _Comparison] = {}
        rest = iter(sorted(by_state))
        try:
            while digests := list(islice(rest, _STATES_AT_ONCE)):
                for digest, (size, changes) in self._differences(digests).items():
                    for one in by_state[digest]:
                        found[one] = self._outcome(one, size, changes)
        except ComparisonTooLong:
            pass
        return {one: found.get(one) or _Comparison(cannot=Effect.NOT_COMPARED) for one in alike}

    def _differences(self, digests: Iterable[str]) -> dict[str, tuple[int, list[Change] | None]]:
        """For each state its size, and what leads from it to the proposed packages; None if it is too large."""
        wanted, limit = self.proposed.values, settings.STATE_MAX_PACKAGES
        packed = states.packed(digests)
        small = {digest: values for digest, values in packed.items() if max(len(values), len(wanted)) <= limit}
        apart = {digest: (values - wanted, wanted - values) for digest, values in small.items()}
        packages = states.load_values(set().union(*(one | two for one, two in apart.values())))
        return {
            digest: (len(values), _compare(packages, *apart[digest]) if digest in apart else None)
            for digest, values in packed.items()
        }

    def _outcome(self, one: _Alike, size: int, changes: list[Change] | None) -> _Comparison:
        if changes is None:
            return _Comparison(cannot=Effect.NOT_COMPARED)
        outcome = _Comparison()
        if not changes:
            return outcome
        proposed, offered = self.proposed, Offered(self.proposed.recorded)
        foreign = [name for name in one.foreign if name not in proposed.names and name not in offered]
        excluded = self.pool.excluded_packages
        kept = KeptPackages(held=one.holds, foreign=foreign, excluded=excluded, unmanaged=proposed.unmanaged)
        for change in changes:
            why = kept.why(change.name)
            if why:
                outcome.packages.setdefault(Effect(why), []).append(change.name)
                continue
            outcome.counts[change.kind] += 1
            if change.kind == ChangeKind.DOWNGRADE:
                outcome.packages.setdefault(Effect.DOWNGRADES, []).append(change.name)
            elif change.kind == ChangeKind.REMOVE:
                outcome.packages.setdefault(Effect.REMOVALS, []).append(change.name)
            if change.kind in _FETCHED and change.after and change.after[:3] in proposed.unrecorded:
                outcome.unrecorded.append(change.after[:3])
        outcome.kept = kept
        left = size + outcome.counts[ChangeKind.INSTALL] - outcome.counts[ChangeKind.REMOVE]
        return _Comparison(cannot=Effect.NOTHING_LEFT) if size and not left else outcome


_FIELDS = (
    "name",
    "state_id",
    "arch",
    "holds",
    "foreign",
    "examination",
    "protected",
    "token_hash",
    "token_shared",
    "last_seen",
)


def _alike(one: Endpoint) -> _Alike:
    return _Alike(one.state_id or "", tuple(one.holds), tuple(one.foreign))


def _compare(packages: Mapping[int, InstalledPackage], before: Iterable[int], after: Iterable[int]) -> list[Change]:
    return difference.compare([packages[value] for value in before], [packages[value] for value in after])
