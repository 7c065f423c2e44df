"""Pools and their targets: every write to them. It must not know HTTP, nor how endpoints report."""

from collections.abc import Callable
from typing import Any

from django.db import IntegrityError, transaction

from . import audit, difference, examination, goals, rows, states, texts
from .alpm.state import InstalledPackage
from .exceptions import (
    Conflict,
    Invalid,
    NameTaken,
    NoTarget,
    NotFound,
    PoolNotEmpty,
    TargetChanged,
)
from .locks import share_content
from .models import Endpoint, Pool, TargetRevision
from .models.pools import ConflictResolution

MAX_RETENTION = 10_000


def create_pool(*, name: str, actor: str, **policy: Any) -> Pool:
    """Make a pool; `policy` is any of Pool's policy fields. Raises InvalidName, Invalid, NameTaken."""
    fields = _checked({"name": name, **policy})
    try:
        with transaction.atomic():
            pool = Pool.objects.create(**fields)
            audit.record(actor=actor, verb="create", object=audit.name_of(pool), after=fields)
    except IntegrityError:
        raise _taken(name) from None
    pool.refresh_from_db()
    return pool


def change_pool(*, pool: Pool, actor: str, **changes: Any) -> Pool:
    """Change the name, description or policy. Raises InvalidName, Invalid, NameTaken, NotFound."""
    fields = _checked(changes)
    try:
        with transaction.atomic():
            (locked,) = rows.lock_pools(pool)
            before = {field: getattr(locked, field) for field in fields}
            after = {field: value for field, value in fields.items() if value != before[field]}
            if after:
                Pool.objects.filter(pk=locked.pk).update(**after)
                before = {field: before[field] for field in after}
                audit.record(actor=actor, verb="change", object=audit.name_of(locked), before=before, after=after)
    except IntegrityError:
        raise _taken(str(fields.get("name", pool.name))) from None
    return Pool.objects.get(pk=locked.pk)


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
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_RETENTION:
        raise Invalid(f"retention must be a whole number from 1 to {MAX_RETENTION}.", field="retention")
    return value


_CHECKS: dict[str, Callable[[object], Any]] = {
    "name": texts.name,
    "description": lambda value: texts.line(value, field="description", maximum=500, empty=True),
    "auto_sync": _switch("auto_sync"),
    "excluded_packages": lambda value: texts.patterns(value, field="excluded_packages"),
    "conflict_resolution": _resolution,
    "endpoints_may_set_target": _switch("endpoints_may_set_target"),
    "retention": _retention,
}


def delete_pool(*, pool: Pool, actor: str) -> None:
    """Delete an empty pool with its revisions. Raises PoolNotEmpty while endpoints are assigned to it, NotFound."""
    with transaction.atomic():
        (locked,) = rows.lock_pools(pool)
        if Endpoint.objects.filter(pool=locked).exists():
            raise PoolNotEmpty(f"Endpoints are assigned to the pool {locked.name}; take them out first.")
        audit.record(actor=actor, verb="delete", object=audit.name_of(locked), before={"name": locked.name})
        locked.delete()


def set_target(
    *,
    pool: Pool,
    endpoint: Endpoint,
    actor: str,
    expected_number: int | None = None,
    comment: str = "",
    force: bool = False,
) -> tuple[TargetRevision, bool]:
    """A new revision: the endpoint's present state less its foreign packages and the pool's excluded ones.

    (revision, True); or (the current revision, False) when it has the same packages from the same repositories, unless
    `force`. `expected_number` is the number that the caller saw (0: no target yet). Raises TargetChanged when that is
    not the current one, StateUnknown when the endpoint hasn't reported, Conflict when it is of another pool or has
    nothing to share, UnsoundSource when its last examination speaks against it (`force` overrides what may be).
    """
    comment = _comment(comment)
    with transaction.atomic():
        (pool,) = rows.lock_pools(pool)
        endpoint = rows.lock_endpoint(endpoint)
        share_content()
        _check_expected(pool, expected_number)
        if endpoint.pool_id != pool.pk:
            raise Conflict(f"{endpoint.name} is not in the pool {pool.name}.")
        goals.reported_state(endpoint)
        examination.check_source(endpoint, force=force)
        state = states.save(shareable(pool=pool, endpoint=endpoint))[0]
        repositories = [
            {"name": row.name, "digest": row.content_id, "mirrors": row.mirrors} for row in endpoint.repositories.all()
        ]
        current = pool.target
        if current and not force and (current.state, current.repositories) == (state, repositories):
            return current, False
        made = _revise(
            pool, actor=actor, state=state, source_endpoint=endpoint, repositories=repositories, comment=comment
        )
        return made, True


def _comment(text: object) -> str:
    return texts.line(text, field="comment", maximum=500, empty=True)


def _check_expected(pool: Pool, expected_number: int | None) -> None:
    number = pool.target.number if pool.target else 0
    if expected_number is not None and expected_number != number:
        raise TargetChanged(f"The target of {pool.name} is revision {number} by now.", number=number)


def shareable(*, pool: Pool, endpoint: Endpoint) -> list[InstalledPackage]:
    """The endpoint's packages as the others of the pool can have them: what `set_target` would make the target.

    Raises StateUnknown when the endpoint hasn't reported, Conflict when nothing is left.
    """
    packages = states.load(goals.reported_state(endpoint))
    if not packages:
        raise Conflict(f"{endpoint.name} has no packages at all: that is no target.")
    target = states.load(pool.target.state) if pool.target else []
    left_out = set(goals.foreign_to(endpoint, target))
    left_out |= difference.matching((package.name for package in packages), pool.excluded_packages)
    shared = [package for package in packages if package.name not in left_out]
    if not shared:
        raise Conflict(f"All packages of {endpoint.name} are foreign or excluded: nothing is left for a target.")
    return shared


def go_back(
    *, pool: Pool, number: int, actor: str, expected_number: int | None = None, comment: str = ""
) -> TargetRevision:
    """A new revision with the state of revision `number`. Raises NotFound, TargetChanged."""
    comment = _comment(comment)
    with transaction.atomic():
        (pool,) = rows.lock_pools(pool)
        _check_expected(pool, expected_number)
        revision = TargetRevision.objects.filter(pool=pool, number=number).first()
        if revision is None:
            raise NotFound(f"The pool {pool.name} has no revision {number}.")
        return _copy(pool, revision, actor=actor, comment=comment)


def promote(
    *, pool: Pool, source: Pool, actor: str, expected_number: int | None = None, comment: str = ""
) -> TargetRevision:
    """A new revision with the present target of the pool `source`. Raises NoTarget, TargetChanged."""
    comment = _comment(comment)
    with transaction.atomic():
        pool, source = rows.lock_pools(pool, source)
        _check_expected(pool, expected_number)
        if source.target is None:
            raise NoTarget(f"The pool {source.name} has no target yet.")
        return _copy(pool, source.target, actor=actor, comment=comment, promoted_from=source.name)


def _copy(pool: Pool, revision: TargetRevision, *, actor: str, comment: str, promoted_from: str = "") -> TargetRevision:
    # Locked, so that it can't be deleted before this revision names it; None when it was.
    source = Endpoint.objects.select_for_update().filter(pk=revision.source_endpoint_id or 0).first()
    share_content()
    return _revise(
        pool,
        actor=actor,
        state=revision.state,
        source_endpoint=source,
        repositories=revision.repositories,
        copied_number=revision.number,
        promoted_from=promoted_from,
        comment=comment,
    )


def _revise(pool: Pool, *, actor: str, **fields: Any) -> TargetRevision:
    """Add the next revision and make it the target. Wants the pool's row locked."""
    before = pool.target
    number = before.number + 1 if before else 1
    revision = TargetRevision.objects.create(pool=pool, number=number, **{**fields, "author": actor[:200]})
    Pool.objects.filter(pk=pool.pk).update(target=revision)
    audit.record(
        actor=actor,
        verb="set_target",
        object=audit.name_of(pool),
        before=before and {"number": before.number, "state": before.state_id},
        after={"number": number, "state": revision.state_id},
    )
    revision.refresh_from_db()
    return revision


def probe() -> None:
    """Prove that this component can work: bounded reads of its tables. Raises DatabaseError, or FleetError."""
    Pool.objects.order_by("pk").values_list("pk", "name", "target", "excluded_packages").first()
    TargetRevision.objects.order_by("pk").values_list("pk", "number", "state").first()
