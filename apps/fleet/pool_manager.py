"""Pools: every write to them; `targets` writes their targets. It must not know HTTP or how endpoints report."""

from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, transaction

from . import audit, exclusions, limits, row_locks, text_input
from .exceptions import FleetError, Invalid, NameTaken, PoolNotEmpty
from .models import AuditEvent, Endpoint, Pool, TargetRevision
from .models.pools import ConflictResolution
from .restored_database import confirm
from .source_packages import Proposal, propose
from .targets import approve, go_back, promote, set_target

__all__ = [
    "Proposal",
    "approve",
    "change_pool",
    "confirm",
    "create_pool",
    "delete_pool",
    "go_back",
    "probe",
    "promote",
    "propose",
    "refusals",
    "set_target",
]


RETENTION_RANGE = f"retention must be a whole number from 1 to {limits.RETENTION}."


def create_pool(*, name: str, actor: str, **policy: Any) -> Pool:
    """Make a pool; `policy` is any of Pool's policy fields. Raises InvalidName, Invalid, NameTaken."""
    fields = _checked({"name": name, **policy})
    try:
        with transaction.atomic():
            pool = Pool.objects.create(**fields, highest_number=_numbers_used(name))
            audit.record(actor=actor, verb="create", object=audit.name_of(pool), after=fields)
    except IntegrityError:
        raise _taken(name) from None
    pool.refresh_from_db()
    return pool


def _numbers_used(name: str) -> int:
    """The highest revision number of a deleted pool of that name: machines that were in it remember that."""
    deleted = AuditEvent.objects.filter(verb="delete", object=audit.name_of(Pool(name=name)))
    before = deleted.order_by("-at").values_list("before", flat=True).first()
    return int((before or {}).get("highest_number", 0))


def change_pool(*, pool: Pool, actor: str, **changes: Any) -> Pool:
    """Change the name, description or policy. Raises InvalidName, Invalid, NameTaken, NotFound."""
    fields = _checked(changes)
    try:
        with transaction.atomic():
            (locked,) = row_locks.lock_pools(pool)
            before = {field: getattr(locked, field) for field in fields}
            after = {field: value for field, value in fields.items() if value != before[field]}
            if after:
                Pool.objects.filter(pk=locked.pk).update(**after)
                before = {field: before[field] for field in after}
                audit.record(actor=actor, verb="change", object=audit.name_of(locked), before=before, after=after)
    except IntegrityError:
        raise _taken(str(fields.get("name", pool.name))) from None
    return Pool.objects.get(pk=locked.pk)


def refusals(fields: dict[str, Any], *, pool: Pool | None = None) -> dict[str, str]:
    """Why each of these fields would be refused for `pool`, or for a new one: all that `create_pool` would say."""
    found = {}
    for field, value in fields.items():
        try:
            _checked({field: value})
        except FleetError as refusal:
            found[field] = str(refusal)
    name = fields.get("name")
    others = Pool.objects.exclude(pk=pool.pk) if pool else Pool.objects.all()
    if name is not None and "name" not in found and others.filter(name=name).exists():
        found["name"] = str(_taken(name))
    return found


def _taken(name: str) -> NameTaken:
    return NameTaken(f"There is a pool with the name {name} already.")


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields if each is one that may be set and has a value that makes sense. Raises InvalidName, Invalid."""
    unknown = sorted(fields.keys() - _CHECKS.keys())
    if unknown:
        raise Invalid(f"A pool has no {', '.join(unknown)} to set.", fields=unknown)
    return {field: _CHECKS[field](value) for field, value in fields.items()}


def _switch(field: str) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        if not isinstance(value, bool):
            raise Invalid(f"{field} must be true or false.", field=field)
        return value

    return check


def _resolution(value: object) -> str:
    if value not in ConflictResolution.values:
        known = ", ".join(ConflictResolution.values)
        raise Invalid(f"conflict_resolution must be one of {known}.", field="conflict_resolution")
    return str(value)


def _retention(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= limits.RETENTION:
        raise Invalid(RETENTION_RANGE, field="retention")
    return value


_CHECKS: dict[str, Callable[[object], Any]] = {
    "name": text_input.name,
    "description": lambda value: text_input.line(
        value, field="description", maximum=limits.DESCRIPTION_LENGTH, empty=True
    ),
    "auto_sync": _switch("auto_sync"),
    "excluded_packages": exclusions.checked,
    "conflict_resolution": _resolution,
    "endpoint_targets_need_approval": _switch("endpoint_targets_need_approval"),
    "retention": _retention,
}


def delete_pool(*, pool: Pool, actor: str) -> None:
    """Delete an empty pool with its revisions. Raises PoolNotEmpty while endpoints are assigned to it, NotFound."""
    with transaction.atomic():
        (locked,) = row_locks.lock_pools(pool)
        if Endpoint.objects.filter(pool=locked).exists():
            raise PoolNotEmpty(f"Endpoints are assigned to the pool {locked.name}; take them out first.")
        number = max(locked.highest_number, locked.target.number if locked.target else 0)
        before = {"name": locked.name, "highest_number": number}
        audit.record(actor=actor, verb="delete", object=audit.name_of(locked), before=before)
        locked.delete()


def probe() -> None:
    """Prove that this part of the fleet can work: bounded reads of its tables. Raises DatabaseError, or FleetError."""
    Pool.objects.order_by("pk").values_list("pk", "name", "target", "excluded_packages").first()
    TargetRevision.objects.order_by("pk").values_list("pk", "number", "state", "files", "approved").first()
