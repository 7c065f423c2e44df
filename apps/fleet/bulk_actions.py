"""One action for many endpoints: which of them it applies to, which are left out and why, and carrying it out.

Moving and forgetting happen in one transaction: all or nothing. Syncs and cancellations have a transaction for each
endpoint (`batches`). It must not know HTTP or how endpoints are selected.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum

from django.db import transaction
from django.db.models import F, QuerySet

from . import audit, batches, reasons, retries, row_locks, states, status
from .batches import NOTHING, NOTHING_TO_CANCEL
from .batches import BatchItem as BatchItem
from .exceptions import AlreadyInSync, Conflict, Invalid, NotCancellable, NotFound, OperationActive
from .models import Endpoint, Operation, Pool
from .models.operations import CANCELLABLE
from .names import validate_name
from .reasons import Unknown
from .status import EndpointStatus

MAX_ENDPOINTS = 200
"""The endpoints that one call changes at most."""
UNCHANGED = "unchanged"
FIELDS = ("name", "pool__name", *status.FIELDS)
"""The columns of an endpoint that `plan` needs, in addition to its pool."""
# Each detail also works as a label before a list of names.
_GONE = "There is no such endpoint."


class Action(StrEnum):
    """Move to another pool or none, sync to the target, forget the endpoint, cancel its operation."""

    MOVE = "move"
    SYNC = "sync"
    FORGET = "forget"
    CANCEL = "cancel"


def plan(action: Action, endpoints: Iterable[Endpoint], *, pool: Pool | None = None) -> list[BatchItem]:
    """What would become of each, in their order. Reads only. `pool` is where they are moved to.

    The number of queries doesn't grow with the endpoints, except where one statement can't take all of them.
    """
    endpoints = list(endpoints)
    plan_one = _PLANNERS[action](endpoints, pool)
    return [plan_one(endpoint) for endpoint in endpoints]


def carry_out(
    action: Action, names: Sequence[str], *, actor: str, pool: Pool | None = None, expected: Sequence[str] | None = None
) -> list[BatchItem]:
    """Do it for those of `names` for which it can be done, and say what became of each, in their order.

    `expected` has what the person saw of each (`BatchItem.expected`): a sync to another target is left out, and so is
    the cancellation of another operation. Raises Invalid (more than MAX_ENDPOINTS, or a name twice), NotFound (pool).
    """
    if len(names) > MAX_ENDPOINTS or len(set(names)) < len(names):
        raise Invalid(f"Name at most {MAX_ENDPOINTS} endpoints, each once.", field="endpoints")
    if action == Action.MOVE:
        return _together(names, lambda locked: _move(locked, pool, actor), pool)
    if action == Action.FORGET:
        return _together(names, lambda locked: _forget(locked, actor), None)
    return list(_one_by_one(action, names, actor, expected))


def preview(action: Action, names: Sequence[str], *, pool: Pool | None = None) -> list[BatchItem]:
    """`plan` for these names, in their order."""
    cases = {case.endpoint: case for case in plan(action, find(names), pool=pool)}
    return [cases.get(name) or BatchItem(name, NotFound.code, _GONE) for name in names]


def find(names: Sequence[str]) -> list[Endpoint]:
    """The endpoints of these names, by name, with what `plan` needs; unknown names are left out."""
    return [
        one for chunk in states.chunks(_possible(names)) for one in selected().filter(name__in=chunk).order_by("name")
    ]


def selected() -> QuerySet[Endpoint]:
    """All endpoints with what `plan` needs of each."""
    return Endpoint.objects.select_related("pool").only(*FIELDS)


def _possible(names: Iterable[str]) -> list[str]:
    """Those that can be a name: a database doesn't take every text."""
    pattern: re.Pattern[str] = validate_name.regex  # type: ignore[assignment]
    return [name for name in names if pattern.match(name)]


# --- What would become of each --------------------------------------------------------------------------------------
PlanOne = Callable[[Endpoint], BatchItem]


def _to_move(endpoints: list[Endpoint], pool: Pool | None) -> PlanOne:
    active, there = set(_operations(endpoints, Operation.objects.active())), pool.pk if pool else None
    where = f"pool {pool.name}" if pool else "no pool"

    def plan_one(one: Endpoint) -> BatchItem:
        if one.pool_id == there:
            return BatchItem(one.name, UNCHANGED, f"In {where} already.")
        if one.pk in active:
            return BatchItem(
                one.name, OperationActive.code, "An operation is under way; cancel it or wait for its end."
            )
        return BatchItem(one.name)

    return plan_one


def _to_forget(endpoints: list[Endpoint], pool: Pool | None) -> PlanOne:
    busy = set(_operations(endpoints, Operation.objects.claimed()))

    def plan_one(one: Endpoint) -> BatchItem:
        if one.pk in busy:
            return BatchItem(one.name, OperationActive.code, "Carrying out an operation.")
        return BatchItem(one.name)

    return plan_one


def _to_cancel(endpoints: list[Endpoint], pool: Pool | None) -> PlanOne:
    active = _operations(endpoints, Operation.objects.active())

    def plan_one(one: Endpoint) -> BatchItem:
        operation = active.get(one.pk)
        if operation is None:
            return BatchItem(one.name, NOTHING_TO_CANCEL, NOTHING)
        if operation.status not in CANCELLABLE:
            return BatchItem(
                one.name, NotCancellable.code, "Pacman is running there, and is never stopped.", operation.pk
            )
        return BatchItem(one.name, operation=operation.pk, expected=str(operation.pk))

    return plan_one


_WHY_NOT = {
    Unknown.NO_POOL: ("no_pool", "In no pool."),
    Unknown.NO_TARGET: ("no_target", "In a pool that has no target yet."),
    Unknown.NOT_REPORTED: ("state_unknown", "Packages not reported yet."),
    Unknown.OTHER_ARCHITECTURE: (Conflict.code, "Of another architecture than the target."),
    Unknown.DATABASES_UNREADABLE: ("databases_unreadable", "Sync databases can't be read there."),
    Unknown.NOT_COMPARED: ("comparison_too_long", "Too many packages, or no time left to compare them."),
}


def _to_sync(endpoints: list[Endpoint], pool: Pool | None) -> PlanOne:
    """Whether an endpoint is offline doesn't matter: its operation waits for it."""
    known, active = status.by_packages(endpoints), _operations(endpoints, Operation.objects.active())
    found = Pool.objects.filter(pk__in={one.pool_id for one in endpoints if one.pool_id})
    archs = dict(found.annotate(arch=F("target__state__arch")).values_list("pk", "arch"))
    targets = dict(found.values_list("pk", "target"))

    def plan_one(one: Endpoint) -> BatchItem:
        if not retries.gives_way(active.get(one.pk)):
            return BatchItem(one.name, OperationActive.code, "An operation is under way.")
        if known[one.pk] == EndpointStatus.IN_SYNC:
            return BatchItem(one.name, AlreadyInSync.code, "In sync already.")
        if known[one.pk] == EndpointStatus.UNKNOWN:
            return BatchItem(one.name, *_WHY_NOT[reasons.unknown(one, archs.get(one.pool_id or 0))])
        return BatchItem(one.name, expected=str(targets.get(one.pool_id or 0)))

    return plan_one


_PLANNERS: dict[Action, Callable[[list[Endpoint], Pool | None], PlanOne]] = {
    Action.MOVE: _to_move,
    Action.SYNC: _to_sync,
    Action.FORGET: _to_forget,
    Action.CANCEL: _to_cancel,
}


def _operations(endpoints: Sequence[Endpoint], among: QuerySet[Operation]) -> dict[int, Operation]:
    """The operation of each endpoint among these active ones, by the endpoint's key. One query."""
    keys = {one.pk for one in endpoints}
    found = among.only("endpoint", "status", "retries")
    if len(keys) <= MAX_ENDPOINTS:
        found = found.filter(endpoint__in=keys)
    return {one.endpoint_id: one for one in found if one.endpoint_id in keys}


# --- Doing it -------------------------------------------------------------------------------------------------------
def _together(
    names: Sequence[str], do: Callable[[list[Endpoint]], list[BatchItem]], pool: Pool | None
) -> list[BatchItem]:
    """All in one transaction, the pool and then the endpoints locked in the order of their keys."""
    with transaction.atomic():
        if pool is not None:
            row_locks.lock_pools(pool)
        keys = (
            Endpoint.objects.filter(name__in=_possible(names))
            .order_by("pk")
            .select_for_update()
            .values_list("pk", flat=True)
        )
        locked = Endpoint.objects.filter(pk__in=list(keys)).select_related("pool").order_by("pk")
        cases = {case.endpoint: case for case in do(list(locked))}
    return [cases.get(name) or BatchItem(name, NotFound.code, _GONE) for name in names]


def _move(locked: list[Endpoint], pool: Pool | None, actor: str) -> list[BatchItem]:
    cases = plan(Action.MOVE, locked, pool=pool)
    moved = [one for one, case in zip(locked, cases, strict=True) if not case.code]
    Endpoint.objects.filter(pk__in=[one.pk for one in moved]).update(pool=pool, pool_changed=pool is not None)
    after = {"pool": pool.name if pool else None}
    for one in moved:
        before = {"pool": one.pool.name if one.pool else None}
        audit.record(actor=actor, verb="assign", object=audit.name_of(one), before=before, after=after)
    return cases


def _forget(locked: list[Endpoint], actor: str) -> list[BatchItem]:
    cases = plan(Action.FORGET, locked)
    gone = [one for one, case in zip(locked, cases, strict=True) if not case.code]
    for one in gone:
        before = {"pool": one.pool.name if one.pool else None, "arch": one.arch, "state": one.state_id}
        audit.record(actor=actor, verb="delete", object=audit.name_of(one), before=before)
    Endpoint.objects.filter(pk__in=[one.pk for one in gone]).delete()
    return cases


def _one_by_one(
    action: Action, names: Sequence[str], actor: str, expected: Sequence[str] | None
) -> Iterator[BatchItem]:
    known = {one.name: one for one in find(names)}
    active = _operations(list(known.values()), Operation.objects.active())
    seen: dict[str, str] = dict(zip(names, expected, strict=True)) if expected is not None else {}

    def do(name: str) -> BatchItem:
        endpoint = known.get(name)
        if endpoint is None:
            return BatchItem(name, NotFound.code, _GONE)
        if action == Action.SYNC:
            return batches.sync(endpoint, actor=actor, expected=seen.get(name))
        return batches.cancel(endpoint, active.get(endpoint.pk), actor=actor, expected=seen.get(name))

    return batches.each(((name, name) for name in names), do)
