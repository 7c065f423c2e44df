"""The answers to an agent: its check-in, its own endpoint, a claim, each put together from parts of the domain.

It writes nothing; apps.fleet decides what the parts mean.
"""

import base64

from django.conf import settings

from apps.api.schemas.agent import CheckInOut, LastFailureOut, MeOut, TargetOut
from apps.api.schemas.endpoint_detail import active_operation, resting_out
from apps.api.schemas.endpoints import (
    RemovalOut,
    last_result_out,
)
from apps.api.schemas.operations import (
    ClaimOut,
    FetchOut,
    Plan,
    RevisionNamed,
    SignedRevisionOut,
    TargetPackages,
    UnmanagedOut,
    operation_out,
    target_package_out,
)
from apps.fleet import (
    difference,
    last_results,
    poll_advice,
    reasons,
    revisions,
    signed_revisions,
    states,
    status,
    sync_preview,
    target_files,
)
from apps.fleet.endpoint_manager import CheckIn
from apps.fleet.models import Endpoint, OperationStatus, TargetRevision
from apps.fleet.sync_coordinator import LEASE_SECONDS, Claim


def target_of(endpoint: Endpoint) -> TargetOut | None:
    revision = endpoint.pool.target if endpoint.pool else None
    if revision is None or endpoint.awaits_approval:
        return None
    return TargetOut(
        number=revision.number,
        state=revision.state_id,
        author=revision.author,
        comment=revision.comment,
        created=revision.created,
        approved=revision.approved,
    )


def revision_named(endpoint: Endpoint) -> RevisionNamed | None:
    revision = endpoint.pool.target if endpoint.pool and not endpoint.awaits_approval else None
    return RevisionNamed.model_validate(revisions.identity(revision)) if revision else None


def check_in_out(done: CheckIn) -> CheckInOut:
    """The answer to a check-in. The endpoint counts as online, because it is talking to us."""
    endpoint = done.endpoint
    return CheckInOut(
        recorded=done.recorded,
        want=list(done.want),
        status=status.of_reporting(endpoint),
        pool=endpoint.pool.name if endpoint.pool else None,
        target=target_of(endpoint),
        revision=revision_named(endpoint),
        operation=operation_out(done.operation) if done.operation else None,
        rotate_token=endpoint.rotation_requested is not None and endpoint.token_shared is None,
        awaits_approval=endpoint.awaits_approval,
        token_shared=endpoint.token_shared is not None,
        poll_seconds=poll_advice.seconds(),
    )


def me_out(endpoint: Endpoint) -> MeOut:
    sync, operation = sync_preview.of(endpoint), active_operation(endpoint)
    known, counts = status.of_one(endpoint), difference.counts(sync.changes)
    return MeOut(
        id=endpoint.pk,
        name=endpoint.name,
        pool=endpoint.pool.name if endpoint.pool else None,
        pool_id=endpoint.pool.identity if endpoint.pool else None,
        status=known,
        why=reasons.why(endpoint, known, counts),
        state=endpoint.state_id,
        target=target_of(endpoint),
        operation=operation,
        holds=endpoint.holds,
        foreign=sync.foreign,
        unmanaged=[UnmanagedOut.model_validate(one) for one in sync.unmanaged],
        difference=Plan(**counts),
        problems=endpoint.examination,
        refused=[RemovalOut(**removal._asdict()) for removal in sync.refused],
        last_failure=_last_failure(endpoint),
        resting=resting_out(endpoint, sync.changes) if operation is None else None,
        awaits_approval=endpoint.awaits_approval,
        token_shared=endpoint.token_shared is not None,
        last_seen=endpoint.last_seen,
        poll_seconds=settings.POLL_SECONDS,
    )


def _last_failure(endpoint: Endpoint) -> LastFailureOut | None:
    """The newest finished operation, if it failed or was lost."""
    last = last_results.of([endpoint.pk]).get(endpoint.pk)
    if last is None or last.status not in (OperationStatus.FAILED, OperationStatus.LOST):
        return None
    message = str((last.result or {}).get("message") or "").partition("\n")[0]
    return LastFailureOut(**last_result_out(last_results.short_of(last)).model_dump(), message=message)


def _signed(revision: TargetRevision) -> SignedRevisionOut | None:
    signed = signed_revisions.of(revision)
    if signed is None:
        return None
    document, signature = (
        base64.b64encode(one).decode() for one in (signed_revisions.text_of(signed), bytes(signed.signature))
    )
    return SignedRevisionOut(document=document, signature=signature)


def claim_out(claim: Claim) -> ClaimOut:
    target, revision = claim.operation.target_state, claim.operation.revision
    files = target_files.load(revision) if revision else {}
    packages = [target_package_out(package, files) for package in states.load(target)]
    return ClaimOut(
        operation=operation_out(claim.operation),
        lease_until=claim.operation.lease_until,
        lease_seconds=LEASE_SECONDS,
        target=TargetPackages(
            digest=target.digest,
            packages=packages,
            unmanaged=[UnmanagedOut.model_validate(one) for one in (revision.unmanaged if revision else None) or ()],
            mirrors=revisions.mirrors_of(revision) if revision else {},
            revision=RevisionNamed.model_validate(revisions.identity(revision)) if revision else None,
            signed=_signed(revision) if revision else None,
        ),
        fetch=[FetchOut.model_validate(fetch, from_attributes=True) for fetch in claim.fetch],
    )
