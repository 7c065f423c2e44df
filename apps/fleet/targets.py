"""Targets of pools: every write to them. It must not know HTTP or how endpoints report.

An operator may set any pool's target. An endpoint may set only its own pool's target, from its own packages, and only
if it has that right.
"""

from typing import Any

from django.db import transaction

from . import (
    audit,
    examination,
    goals,
    limits,
    obsolete_operations,
    queued_syncs,
    revisions,
    row_locks,
    shared_tokens,
    source_packages,
    states,
    target_files,
    text_input,
)
from .content_lock import share_content
from .exceptions import Conflict, Forbidden, MayNotSetTargets, NoTarget, NotFound, SourceChanged, TargetChanged
from .models import Endpoint, Pool, TargetRevision
from .source_packages import Proposal


def set_target(
    *,
    pool: Pool,
    endpoint: Endpoint,
    actor: str,
    setter: Endpoint | None = None,
    expected_number: int | None = None,
    expected_digest: str | None = None,
    comment: str = "",
    force: bool = False,
) -> tuple[TargetRevision, bool]:
    """Make the endpoint's current packages the target, except for what `source_packages` leaves out.

    Returns (revision, True); or (the current revision, False) if that says the same and names the same repositories,
    unless `force`. `setter` is the endpoint that asks, None for an operator. `expected_number` is the number of the
    target that the caller saw (0 for none), `expected_digest` that of the proposal (`source_packages.Proposal`).

    Raises TargetChanged and SourceChanged if there is another one now; StateUnknown if the endpoint hasn't reported;
    Conflict if it is in another pool or has nothing to share; UnsoundSource if its last examination speaks against it
    (`force` overrides what may be overridden); Forbidden, MayNotSetTargets.
    """
    comment = comment_of(comment)
    with transaction.atomic():
        (pool,) = row_locks.lock_pools(pool)
        endpoint = row_locks.lock_endpoint(endpoint)
        share_content()
        if setter is not None:
            _check_may(setter, endpoint, pool)
        check_expected(pool, expected_number)
        fields = _fields(_checked_proposal(pool, endpoint, expected_digest=expected_digest, force=force))
        current = pool.target
        if current and not force and _says(current, fields) and (current.approved or setter):
            return current, False
        approved = setter is None or not pool.endpoint_targets_need_approval
        return add(pool, actor=actor, source_endpoint=endpoint, comment=comment, approved=approved, **fields), True


def _checked_proposal(pool: Pool, endpoint: Endpoint, *, expected_digest: str | None, force: bool) -> Proposal:
    """What the endpoint gives, if it may be the source.

    Raises Conflict, TokenShared, StateUnknown, UnsoundSource, SourceChanged.
    """
    if endpoint.pool_id != pool.pk:
        raise Conflict(f"{endpoint.name} is not in the pool {pool.name}.")
    shared_tokens.check(endpoint)
    goals.reported_state(endpoint)
    examination.check_source(endpoint, force=force)
    proposal = source_packages.propose(pool=pool, endpoint=endpoint)
    if expected_digest not in (None, proposal.digest):
        raise SourceChanged(
            f"{endpoint.name} would now give another target: it has reported since, or what is left out of the "
            "target has changed. Nothing was changed; look at what it would be now."
        )
    return proposal


OWN_TARGET = "An endpoint may set the target of its own pool, from itself."


def _check_may(setter: Endpoint, endpoint: Endpoint, pool: Pool) -> None:
    """`endpoint` is locked, so that its right is the one of this moment. Raises Forbidden, MayNotSetTargets."""
    if setter.pk != endpoint.pk or endpoint.pool_id != pool.pk:
        raise Forbidden(OWN_TARGET)
    if not endpoint.may_set_targets or endpoint.token_hash is None:
        raise MayNotSetTargets(
            f"{endpoint.name} may not set targets. An operator can make {endpoint.name}'s packages the target, or give "
            f"{endpoint.name} the right to (on its page)."
        )


def _fields(proposal: Proposal) -> dict[str, Any]:
    state = states.save(proposal.packages)[0]
    files = target_files.save(proposal.files)
    return {
        "state": state,
        "files": files,
        "unmanaged": proposal.unmanaged,
        "repositories": proposal.repositories,
        "digest": revisions.digest_of(state=state.digest, files=files.digest, unmanaged=proposal.unmanaged),
    }


def _says(current: TargetRevision, fields: dict[str, Any]) -> bool:
    return (current.digest, current.repositories) == (fields["digest"], fields["repositories"])


def comment_of(text: object) -> str:
    """`text` if it is one line of at most COMMENT_LENGTH characters. Raises Invalid."""
    return text_input.line(text, field="comment", maximum=limits.COMMENT_LENGTH, empty=True)


def check_expected(pool: Pool, expected_number: int | None) -> None:
    """Raise TargetChanged unless `expected_number` is None or the current target's number (0 if there is none)."""
    number = pool.target.number if pool.target else 0
    if expected_number is not None and expected_number != number:
        raise TargetChanged(f"The target of {pool.name} is now revision {number}.", number=number)


def go_back(
    *, pool: Pool, number: int, actor: str, expected_number: int | None = None, comment: str = ""
) -> TargetRevision:
    """A new revision that says what revision `number` says. Raises NotFound, TargetChanged.

    Syncs to other revisions that no agent has begun are cancelled, even those that people queued.
    """
    comment = comment_of(comment)
    with transaction.atomic():
        (pool,) = row_locks.lock_pools(pool)
        check_expected(pool, expected_number)
        made = copy(pool, revision_of(pool, number), actor=actor, comment=comment)
        queued_syncs.cancel_affected(pool, target=made, number=number, actor=actor)
        return made


def revision_of(pool: Pool, number: int) -> TargetRevision:
    """The pool's revision with this number. Raises NotFound."""
    revision = TargetRevision.objects.filter(pool=pool, number=number).first()
    if revision is None:
        raise NotFound(f"The pool {pool.name} has no revision {number}.")
    return revision


def promote(
    *,
    pool: Pool,
    source: Pool,
    actor: str,
    expected_number: int | None = None,
    expected_source: int | None = None,
    comment: str = "",
) -> TargetRevision:
    """A new revision that says what the current target of the pool `source` says.

    `expected_source` is the number of that target that the caller saw. Raises NoTarget, TargetChanged, Conflict (the
    pool itself: it would only approve what nobody approved).
    """
    comment = comment_of(comment)
    if pool.pk == source.pk:
        raise Conflict(f"{pool.name} can't be promoted to itself. To approve its target, approve that revision.")
    with transaction.atomic():
        pool, source = row_locks.lock_pools(pool, source)
        check_expected(pool, expected_number)
        if source.target is None:
            raise NoTarget(f"The pool {source.name} has no target yet.")
        check_expected(source, expected_source)
        return copy(pool, source.target, actor=actor, comment=comment, promoted_from=source.name)


def copy(
    pool: Pool, revision: TargetRevision, *, actor: str, comment: str, promoted_from: str = "", approved: bool = True
) -> TargetRevision:
    """Make what `revision` says the target of `pool`, as an operator's decision. The caller has locked the pool.

    `approved`: the decision was about these packages, and not only about a number.
    """
    # Locked, so that it can't be deleted before this revision names it; None when it was.
    source = Endpoint.objects.select_for_update().filter(pk=revision.source_endpoint_id or 0).first()
    share_content()
    return add(
        pool,
        actor=actor,
        state=revision.state,
        files=revision.files,
        unmanaged=revision.unmanaged,
        digest=revisions.digest(revision),
        source_endpoint=source,
        repositories=revision.repositories,
        copied_number=revision.number,
        promoted_from=promoted_from,
        comment=comment,
        approved=approved,
    )


def add(pool: Pool, *, actor: str, **fields: Any) -> TargetRevision:
    """Add the next revision and make it the target. The caller has locked the pool.

    Its number is above every number that the pool has had or that any endpoint has seen. What the pool's policy has
    queued for another revision is cancelled: agents would take it for a step back.
    """
    before = pool.target
    number = max(before.number if before else 0, pool.highest_number) + 1
    revision = TargetRevision.objects.create(pool=pool, number=number, **{**fields, "author": actor[:200]})
    Pool.objects.filter(pk=pool.pk).update(target=revision, highest_number=number)
    obsolete_operations.cancel_automatic(
        pool, code=obsolete_operations.TARGET_CHANGED, message=obsolete_operations.CHANGED, spared=revision
    )
    audit.record(
        actor=actor,
        verb="set_target",
        object=audit.name_of(pool),
        before=before and {"number": before.number, "state": before.state_id, "digest": revisions.digest(before)},
        after={
            "number": number,
            "state": revision.state_id,
            "digest": revision.digest,
            "approved": revision.approved,
        },
    )
    revision.refresh_from_db()
    return revision


def approve(*, pool: Pool, number: int, actor: str) -> TargetRevision:
    """Let automatic sync bring endpoints to this revision. A repeat changes nothing. Raises NotFound."""
    with transaction.atomic():
        (pool,) = row_locks.lock_pools(pool)
        revision = revision_of(pool, number)
        if TargetRevision.objects.filter(pk=revision.pk, approved=False).update(approved=True):
            audit.record(
                actor=actor, verb="approve_target", object=audit.name_of(pool), after={"number": revision.number}
            )
            revision.refresh_from_db()
    return revision
