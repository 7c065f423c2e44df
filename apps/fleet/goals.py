"""What an operation would bring one endpoint to: sync and revert goals, read from the database. It writes nothing.

It must not know leases or HTTP.
"""

from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass

from . import difference, examination, revisions, shared_tokens, states
from .alpm.names import machine_arch
from .alpm.state import InstalledPackage
from .difference import Change, KeptPackages
from .exceptions import Conflict, NoPool, NoTarget, NothingToRevert, StateUnknown
from .models import Endpoint, Operation, OperationKind, State, TargetRevision


@dataclass(frozen=True, kw_only=True)
class Goal:
    """From `base`, which the endpoint is in, to `packages`. `foreign` lists the names that are foreign to it.

    `not_brought` are those names, and the others that an operation leaves alone because the target doesn't manage them.
    """

    base: State
    installed: list[InstalledPackage]
    packages: list[InstalledPackage]
    kept: dict[str, list[str]]
    foreign: list[str]
    not_brought: list[str]
    revision: TargetRevision | None = None
    reverts: Operation | None = None

    @property
    def changes(self) -> list[Change]:
        return difference.compare(self.installed, self.packages)


def sync_goal(endpoint: Endpoint) -> Goal:
    """What a sync would do now.

    Raises TokenShared, NoPool, NoTarget, StateUnknown, DatabasesUnreadable, Conflict (another architecture, or no
    package would be left).
    """
    shared_tokens.check(endpoint)
    if endpoint.pool is None:
        raise NoPool(f"{endpoint.name} is in no pool.")
    revision = endpoint.pool.target
    if revision is None:
        raise NoTarget(f"The pool {endpoint.pool.name} has no target yet.")
    base = reported_state(endpoint)
    if revision.state.arch not in (machine_arch(endpoint.arch), "any"):
        raise Conflict(f"{endpoint.name} is {endpoint.arch}; the target is for {revision.state.arch}.")
    if base != revision.state:
        examination.check_databases(endpoint)
    goal = _goal(endpoint, base, states.load(revision.state), revision=revision)
    if goal.installed and not goal.packages:
        raise Conflict(f"A sync would leave {endpoint.name} without any package: it holds all that the target has.")
    return goal


def revert_goal(endpoint: Endpoint) -> Goal:
    """What a revert would do now. Raises TokenShared, StateUnknown, NothingToRevert."""
    shared_tokens.check(endpoint)
    base = reported_state(endpoint)
    reverted = newest_unreverted(endpoint)
    if reverted is None:
        raise NothingToRevert(f"{endpoint.name} has no sync to revert.")
    return _back_to(endpoint, base, reverted)


def revert_goal_of(endpoint: Endpoint, sync: Operation) -> Goal:
    """What a revert of exactly this sync would do now, whether or not it was reverted before.

    Raises TokenShared, StateUnknown, NothingToRevert (a newer sync has to be reverted first).
    """
    shared_tokens.check(endpoint)
    base = reported_state(endpoint)
    newest = newest_unreverted(endpoint)
    if newest is not None and newest.created > sync.created:
        raise NothingToRevert(f"{endpoint.name} was synced since: that sync has to be reverted first.")
    return _back_to(endpoint, base, sync)


def _back_to(endpoint: Endpoint, base: State, sync: Operation) -> Goal:
    return _goal(endpoint, base, states.load(sync.base_state), reverts=sync, once_foreign=sync.foreign)


def newest_unreverted(endpoint: Endpoint) -> Operation | None:
    """The newest sync to its target that no revert took back: two reverts in a row go two syncs back."""
    reached = Operation.objects.filter(endpoint=endpoint).reached()
    taken_back = reached.filter(kind=OperationKind.REVERT, reverts__isnull=False).values("reverts")
    syncs = reached.filter(kind=OperationKind.SYNC).exclude(pk__in=taken_back)
    return syncs.select_related("base_state").order_by("-finished", "-created").first()


def reported_state(endpoint: Endpoint) -> State:
    """The state that the endpoint reported last. Raises StateUnknown."""
    if endpoint.state is None:
        raise StateUnknown(f"{endpoint.name} has not reported its packages yet.")
    return endpoint.state


def foreign_to(
    endpoint: Endpoint, target: Iterable[InstalledPackage], offered: Container[str] = frozenset()
) -> list[str]:
    """The endpoint's foreign packages: in none of its own repositories, and in none of the target's (`offered`).

    One that the target has isn't foreign either: the target knows its version.
    """
    managed = {package.name for package in target}
    return [name for name in endpoint.foreign if name not in managed and name not in offered]


def _goal(
    endpoint: Endpoint,
    base: State,
    target: list[InstalledPackage],
    *,
    revision: TargetRevision | None = None,
    reverts: Operation | None = None,
    once_foreign: Collection[str] = (),
) -> Goal:
    # A revert keeps what is foreign now. It doesn't bring back what was foreign then: no repository has it.
    foreign = list(endpoint.foreign)
    unmanaged: Collection[str] = ()
    if revision:
        foreign = foreign_to(endpoint, target, revisions.offered_by(revision))
        unmanaged = revisions.unmanaged_names(revision)
    excluded = endpoint.pool.excluded_packages if endpoint.pool else ()
    kept = KeptPackages(held=endpoint.holds, foreign=(*foreign, *once_foreign), excluded=excluded, unmanaged=unmanaged)
    installed = states.load(base)
    left = {package.name for package in installed if package.name in unmanaged}
    return Goal(
        base=base,
        installed=installed,
        packages=difference.goal(installed, target, kept),
        kept=kept.among(package.name for package in (*installed, *target)),
        foreign=foreign,
        not_brought=sorted(left.union(foreign)),
        revision=revision,
        reverts=reverts,
    )
