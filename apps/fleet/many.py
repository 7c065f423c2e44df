"""One action for many endpoints: for which of them it is, which are left out and why, and carrying it out.

Moving and forgetting are one transaction: all that can be done, or nothing. Syncs and cancellations are one transaction
each, and each endpoint's case says what became of it. It must not know HTTP, nor how endpoints are selected.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum

from django.db import transaction
from django.db.models import F, QuerySet

from . import audit, one_by_one, reasons, retrying, rows, states, status
from .exceptions import AlreadyInSync, Conflict, Invalid, NotCancellable, NotFound, OperationActive
from .models import Endpoint, Operation, Pool
from .models.operations import ACTIVE, CANCELLABLE, LEASED
from .names import validate_name
from .one_by_one import NOTHING, NOTHING_TO_CANCEL
from .one_by_one import Case as Case
from .reasons import Unknown
from .status import Status

MOST = 200
"""So many endpoints are changed at a time."""
UNCHANGED = "unchanged"
FIELDS = ("name", "pool__name", *status.FIELDS)
"""What `plan` needs of each endpoint, beside its pool."""
# Each detail is a label that fits before the names of many, too.
_GONE = "There is no such endpoint."


class Action(StrEnum):
    """What is done with each of them: to another pool or none, to its target, out of the fleet, its operation off."""

    MOVE = "move"
    SYNC = "sync"
    FORGET = "forget"
    CANCEL = "cancel"


def plan(action: Action, endpoints: Iterable[Endpoint], *, pool: Pool | None = None) -> list[Case]:
    """What would become of each, in their order. Reads only. `pool` is where they are moved to.

    A number of queries that doesn't grow with the endpoints, but in pieces of what a statement can take.
    """
    endpoints = list(endpoints)
    judge = _JUDGES[action](endpoints, pool)
    return [judge(endpoint) for endpoint in endpoints]


def carry_out(
    action: Action, names: Sequence[str], *, actor: str, pool: Pool | None = None, shown: Sequence[str] | None = None
) -> list[Case]:
    """Do it for those of `names` for which it can be done, and say what became of each, in their order.

    `shown` has what was shown of each (`Case.shown`): a sync to another target, or the cancellation of another
    operation, is left out. Raises Invalid (more than MOST, or a name twice), NotFound (the pool).
    """
    if len(names) > MOST or len(set(names)) < len(names):
        raise Invalid(f"Name at most {MOST} endpoints, each once.", field="endpoints")
    if action == Action.MOVE:
        return _together(names, lambda locked: _move(locked, pool, actor), pool)
    if action == Action.FORGET:
        return _together(names, lambda locked: _forget(locked, actor), None)
    return list(_one_by_one(action, names, actor, shown))


def foretell(action: Action, names: Sequence[str], *, pool: Pool | None = None) -> list[Case]:
    """`plan` for these names, in their order."""
    cases = {case.endpoint: case for case in plan(action, find(names), pool=pool)}
    return [cases.get(name) or Case(name, NotFound.code, _GONE) for name in names]


def find(names: Sequence[str]) -> list[Endpoint]:
    """The endpoints of these names, by name, with what `plan` needs; unknown names are left out."""
    return [
        one for chunk in states.chunks(_possible(names)) for one in selected().filter(name__in=chunk).order_by("name")
    ]


def selected() -> QuerySet[Endpoint]:
    """All endpoints with what `plan` needs of each."""
    return Endpoint.objects.select_related("pool").only(*FIELDS)


def _possible(names: Iterable[str]) -> list[str]:
    """Those that could be a name at all: no others are asked for, since not every text can be."""
    pattern: re.Pattern[str] = validate_name.regex  # type: ignore[assignment]
    return [name for name in names if pattern.match(name)]


# --- What would become of each --------------------------------------------------------------------------------------
Judge = Callable[[Endpoint], Case]


def _to_move(endpoints: list[Endpoint], pool: Pool | None) -> Judge:
    active, there = set(_operations(endpoints, ACTIVE)), pool.pk if pool else None
    where = f"pool {pool.name}" if pool else "no pool"

    def judge(one: Endpoint) -> Case:
        if one.pool_id == there:
            return Case(one.name, UNCHANGED, f"In {where} already.")
        if one.pk in active:
            return Case(one.name, OperationActive.code, "An operation is under way; cancel it or wait for its end.")
        return Case(one.name)

    return judge


def _to_forget(endpoints: list[Endpoint], pool: Pool | None) -> Judge:
    busy = set(_operations(endpoints, LEASED))

    def judge(one: Endpoint) -> Case:
        if one.pk in busy:
            return Case(one.name, OperationActive.code, "Carrying out an operation.")
        return Case(one.name)

    return judge


def _to_cancel(endpoints: list[Endpoint], pool: Pool | None) -> Judge:
    active = _operations(endpoints, ACTIVE)

    def judge(one: Endpoint) -> Case:
        operation = active.get(one.pk)
        if operation is None:
            return Case(one.name, NOTHING_TO_CANCEL, NOTHING)
        if operation.status not in CANCELLABLE:
            return Case(one.name, NotCancellable.code, "Pacman is running there, and is never stopped.", operation.pk)
        return Case(one.name, operation=operation.pk, shown=str(operation.pk))

    return judge


_WHY_NOT = {
    Unknown.NO_POOL: ("no_pool", "In no pool."),
    Unknown.NO_TARGET: ("no_target", "In a pool that has no target yet."),
    Unknown.NOT_REPORTED: ("state_unknown", "Packages not reported yet."),
    Unknown.OTHER_ARCHITECTURE: (Conflict.code, "Of another architecture than the target."),
    Unknown.DATABASES_UNREADABLE: ("databases_unreadable", "Sync databases can't be read there."),
    Unknown.NOT_COMPARED: ("comparison_too_long", "Too many packages, or no time left to compare them."),
}


def _to_sync(endpoints: list[Endpoint], pool: Pool | None) -> Judge:
    """Whether an endpoint is offline doesn't matter: its operation waits for it."""
    known, active = status.by_packages(endpoints), _operations(endpoints, ACTIVE)
    found = Pool.objects.filter(pk__in={one.pool_id for one in endpoints if one.pool_id})
    archs = dict(found.annotate(arch=F("target__state__arch")).values_list("pk", "arch"))
    targets = dict(found.values_list("pk", "target"))

    def judge(one: Endpoint) -> Case:
        if not retrying.gives_way(active.get(one.pk)):
            return Case(one.name, OperationActive.code, "An operation is under way.")
        if known[one.pk] == Status.IN_SYNC:
            return Case(one.name, AlreadyInSync.code, "In sync already.")
        if known[one.pk] == Status.UNKNOWN:
            return Case(one.name, *_WHY_NOT[reasons.unknown(one, archs.get(one.pool_id or 0))])
        return Case(one.name, shown=str(targets.get(one.pool_id or 0)))

    return judge


_JUDGES: dict[Action, Callable[[list[Endpoint], Pool | None], Judge]] = {
    Action.MOVE: _to_move,
    Action.SYNC: _to_sync,
    Action.FORGET: _to_forget,
    Action.CANCEL: _to_cancel,
}


def _operations(endpoints: Sequence[Endpoint], statuses: Sequence[str]) -> dict[int, Operation]:
    """The active operation of each endpoint in one of these statuses, by the endpoint's key. One query."""
    keys = {one.pk for one in endpoints}
    found = Operation.objects.filter(status__in=statuses).only("endpoint", "status", "retries")
    if len(keys) <= MOST:
        found = found.filter(endpoint__in=keys)
    return {one.endpoint_id: one for one in found if one.endpoint_id in keys}


# --- Doing it -------------------------------------------------------------------------------------------------------
def _together(names: Sequence[str], do: Callable[[list[Endpoint]], list[Case]], pool: Pool | None) -> list[Case]:
    """All in one transaction, the pool and then the endpoints locked in the order of their keys."""
    with transaction.atomic():
        if pool is not None:
            rows.lock_pools(pool)
        keys = (
            Endpoint.objects.filter(name__in=_possible(names))
            .order_by("pk")
            .select_for_update()
            .values_list("pk", flat=True)
        )
        locked = Endpoint.objects.filter(pk__in=list(keys)).select_related("pool").order_by("pk")
        cases = {case.endpoint: case for case in do(list(locked))}
    return [cases.get(name) or Case(name, NotFound.code, _GONE) for name in names]


def _move(locked: list[Endpoint], pool: Pool | None, actor: str) -> list[Case]:
    cases = plan(Action.MOVE, locked, pool=pool)
    moved = [one for one, case in zip(locked, cases, strict=True) if not case.code]
    Endpoint.objects.filter(pk__in=[one.pk for one in moved]).update(pool=pool, pool_changed=pool is not None)
    after = {"pool": pool.name if pool else None}
    for one in moved:
        before = {"pool": one.pool.name if one.pool else None}
        audit.record(actor=actor, verb="assign", object=audit.name_of(one), before=before, after=after)
    return cases


def _forget(locked: list[Endpoint], actor: str) -> list[Case]:
    cases = plan(Action.FORGET, locked)
    gone = [one for one, case in zip(locked, cases, strict=True) if not case.code]
    for one in gone:
        before = {"pool": one.pool.name if one.pool else None, "arch": one.arch, "state": one.state_id}
        audit.record(actor=actor, verb="delete", object=audit.name_of(one), before=before)
    Endpoint.objects.filter(pk__in=[one.pk for one in gone]).delete()
    return cases


def _one_by_one(action: Action, names: Sequence[str], actor: str, shown: Sequence[str] | None) -> Iterator[Case]:
    known = {one.name: one for one in find(names)}
    active = _operations(list(known.values()), ACTIVE)
    seen: dict[str, str] = dict(zip(names, shown, strict=True)) if shown is not None else {}

    def do(name: str) -> Case:
        endpoint = known.get(name)
        if endpoint is None:
            return Case(name, NotFound.code, _GONE)
        if action == Action.SYNC:
            return one_by_one.sync(endpoint, actor=actor, shown=seen.get(name))
        return one_by_one.cancel(endpoint, active.get(endpoint.pk), actor=actor, shown=seen.get(name))

    return one_by_one.each(((name, name) for name in names), do)
