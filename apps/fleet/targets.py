"""Targets of pools: every write to them. It must not know HTTP, nor how endpoints report.

An operator may set any pool's target; an endpoint only its own pool's, from itself, and with the right to it.
"""

from typing import Any

from django.db import transaction

from . import (
    audit,
    examination,
    goals,
    going_back,
    obsolete,
    revisions,
    rows,
    source_packages,
    states,
    target_files,
    texts,
)
from .exceptions import Conflict, Forbidden, MayNotSetTargets, NoTarget, NotFound, SourceChanged, TargetChanged
from .locks import share_content
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
    """A new revision: the endpoint's current packages with their files, less what `source_packages` leaves out.

    (revision, True); or (the current revision, False) when it says the same and names the same repositories, unless
    `force`. `setter` is the endpoint that asks, None for an operator. `expected_number` is the number that the caller
    saw (0: no target yet), `expected_digest` the digest of the proposal that it saw (`source_packages.Proposal`).
    Raises TargetChanged and SourceChanged when there is another one now, StateUnknown when the endpoint hasn't
    reported, Conflict when it is of another pool or has nothing to share, UnsoundSource when its last
    examination speaks against it (`force` overrides what may be), Forbidden, MayNotSetTargets.
    """
    comment = comment_of(comment)
    with transaction.atomic():
        (pool,) = rows.lock_pools(pool)
        endpoint = rows.lock_endpoint(endpoint)
        share_content()
        if setter is not None:
            _check_may(setter, endpoint, pool)
        check_expected(pool, expected_number)
        if endpoint.pool_id != pool.pk:
            raise Conflict(f"{endpoint.name} is not in the pool {pool.name}.")
        goals.reported_state(endpoint)
        examination.check_source(endpoint, force=force)
        proposal = source_packages.propose(pool=pool, endpoint=endpoint)
        if expected_digest is not None and expected_digest != proposal.digest:
            raise SourceChanged(
                f"{endpoint.name} would give another target by now: it has reported since, or what is left out of the "
                "target has changed. Nothing was changed; look at what it would be now."
            )
        fields = _fields(proposal)
        current = pool.target
        if current and not force and _says(current, fields) and (current.approved or setter):
            return current, False
        approved = setter is None or not pool.endpoint_targets_need_approval
        made = add(pool, actor=actor, source_endpoint=endpoint, comment=comment, approved=approved, **fields)
        return made, True


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
    """`text` if it is one line of at most 500 characters. Raises Invalid."""
    return texts.line(text, field="comment", maximum=500, empty=True)


def check_expected(pool: Pool, expected_number: int | None) -> None:
    """Raise TargetChanged unless `expected_number` is None or the current target's number (0: none yet)."""
    number = pool.target.number if pool.target else 0
    if expected_number is not None and expected_number != number:
        raise TargetChanged(f"The target of {pool.name} is revision {number} by now.", number=number)


def go_back(
    *, pool: Pool, number: int, actor: str, expected_number: int | None = None, comment: str = ""
) -> TargetRevision:
    """A new revision that says what revision `number` says. Raises NotFound, TargetChanged.

    Syncs to other revisions that no agent has begun are cancelled, whoever queued them.
    """
    comment = comment_of(comment)
    with transaction.atomic():
        (pool,) = rows.lock_pools(pool)
        check_expected(pool, expected_number)
        made = copy(pool, revision_of(pool, number), actor=actor, comment=comment)
        going_back.cancel_left(pool, target=made, number=number, actor=actor)
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
        pool, source = rows.lock_pools(pool, source)
        check_expected(pool, expected_number)
        if source.target is None:
            raise NoTarget(f"The pool {source.name} has no target yet.")
        check_expected(source, expected_source)
        return copy(pool, source.target, actor=actor, comment=comment, promoted_from=source.name)


def copy(
    pool: Pool, revision: TargetRevision, *, actor: str, comment: str, promoted_from: str = "", approved: bool = True
) -> TargetRevision:
    """Make what `revision` says the target of `pool`, as an operator's decision. Wants the pool's row locked.

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
    """Add the next revision and make it the target. Wants the pool's row locked.

    Its number is above every number that the pool has had or that any endpoint has seen. What the pool's policy has
    queued for another revision is cancelled: agents would take it for a step back.
    """
    before = pool.target
    number = max(before.number if before else 0, pool.highest_number) + 1
    revision = TargetRevision.objects.create(pool=pool, number=number, **{**fields, "author": actor[:200]})
    Pool.objects.filter(pk=pool.pk).update(target=revision, highest_number=number)
    obsolete.cancel_automatic(pool, code=obsolete.TARGET_CHANGED, message=obsolete.CHANGED, besides=revision)
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
        (pool,) = rows.lock_pools(pool)
        revision = revision_of(pool, number)
        if TargetRevision.objects.filter(pk=revision.pk, approved=False).update(approved=True):
            audit.record(
                actor=actor, verb="approve_target", object=audit.name_of(pool), after={"number": revision.number}
            )
            revision.refresh_from_db()
    return revision
