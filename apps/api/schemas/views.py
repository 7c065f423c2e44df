"""Answers that are put together from several parts of the domain: the agent's view of itself, claims, differences.

They read and never write; what the parts mean is decided in apps.fleet.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from django.conf import settings
from django.http import HttpResponse

from apps.api.schemas.agent import CheckInOut, LastFailureOut, MeOut, TargetOut
from apps.api.schemas.endpoints import (
    EndpointDetail,
    NoSyncOut,
    RemovalOut,
    RepositoryOut,
    RestingOut,
    endpoint_fields,
    last_result_out,
)
from apps.api.schemas.operations import (
    ClaimOut,
    FetchOut,
    OperationOut,
    Plan,
    RevisionNamed,
    TargetPackages,
    UnmanagedOut,
    operation_out,
    target_package_out,
)
from apps.fleet import (
    automatic,
    difference,
    goals,
    last_results,
    protection,
    reasons,
    revisions,
    sources,
    states,
    status,
    target_files,
)
from apps.fleet.alpm.state import InstalledPackage
from apps.fleet.difference import Change
from apps.fleet.endpoint_manager import CheckIn
from apps.fleet.exceptions import Conflict
from apps.fleet.goals import Goal
from apps.fleet.models import Endpoint, Operation, OperationStatus
from apps.fleet.models.operations import ACTIVE
from apps.fleet.sync_coordinator import LEASE_SECONDS, Claim


def target_of(endpoint: Endpoint) -> TargetOut | None:
    revision = endpoint.pool.target if endpoint.pool else None
    if revision is None:
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
    revision = endpoint.pool.target if endpoint.pool else None
    return RevisionNamed.model_validate(revisions.identity(revision)) if revision else None


def active_operation(endpoint: Endpoint) -> OperationOut | None:
    rows = Operation.objects.with_names().filter(endpoint=endpoint, status__in=ACTIVE)
    operation = rows.first()
    return operation_out(operation) if operation else None


def check_in_out(done: CheckIn) -> CheckInOut:
    """The endpoint is online: it is just speaking to us."""
    endpoint = done.endpoint
    return CheckInOut(
        recorded=done.recorded,
        want=list(done.want),
        status=package_status(endpoint),
        pool=endpoint.pool.name if endpoint.pool else None,
        target=target_of(endpoint),
        revision=revision_named(endpoint),
        operation=operation_out(done.operation) if done.operation else None,
        poll_seconds=settings.POLL_SECONDS,
    )


def package_status(endpoint: Endpoint) -> status.Status:
    """As `status.by_packages` has it, which is asked only where the answer isn't plain."""
    target = endpoint.pool.target if endpoint.pool else None
    if target is not None and target.state_id == endpoint.state_id:
        return status.Status.IN_SYNC
    return status.by_packages([endpoint])[endpoint.pk]


@dataclass(frozen=True)
class Outlook:
    """What a sync would change now (nothing where none is possible), and what it would leave alone."""

    changes: list[Change]
    foreign: list[str]
    unmanaged: list[dict[str, str]]
    refused: list[dict[str, str]]
    refusal: NoSyncOut | None = None


def outlook(endpoint: Endpoint) -> Outlook:
    try:
        goal = goals.sync_goal(endpoint)
    except Conflict as refusal:
        return Outlook([], endpoint.foreign, [], [], NoSyncOut(code=refusal.code, detail=str(refusal)))
    return Outlook(goal.changes, goal.foreign, unmanaged_of(goal), refused_of(endpoint, goal))


def unmanaged_of(goal: Goal) -> list[dict[str, str]]:
    """What the endpoint keeps because the target doesn't manage it, with the target's reason: [{"name", "why"}]."""
    names = set(goal.kept["unmanaged"])
    said = (goal.revision.unmanaged if goal.revision else None) or []
    return [one for one in said if one["name"] in names]


def refused_of(endpoint: Endpoint, goal: Goal) -> list[dict[str, str]]:
    """What the endpoint would refuse to remove: [{"name", "why"}]."""
    return [removal._asdict() for removal in protection.refused_by(endpoint, goal)]


def me_out(endpoint: Endpoint) -> MeOut:
    seen, operation = outlook(endpoint), active_operation(endpoint)
    known, counts = status.of_one(endpoint), difference.counts(seen.changes)
    return MeOut(
        id=endpoint.pk,
        name=endpoint.name,
        pool=endpoint.pool.name if endpoint.pool else None,
        status=known,
        why=reasons.why(endpoint, known, counts),
        state=endpoint.state_id,
        target=target_of(endpoint),
        operation=operation,
        holds=endpoint.holds,
        foreign=seen.foreign,
        unmanaged=[UnmanagedOut.model_validate(one) for one in seen.unmanaged],
        difference=Plan(**counts),
        problems=endpoint.examination,
        refused=[RemovalOut.model_validate(one) for one in seen.refused],
        last_failure=_last_failure(endpoint),
        resting=_resting(endpoint, seen.changes) if operation is None else None,
        last_seen=endpoint.last_seen,
        poll_seconds=settings.POLL_SECONDS,
    )


def _last_failure(endpoint: Endpoint) -> LastFailureOut | None:
    """The newest finished operation, where it failed or was lost."""
    last = last_results.of([endpoint.pk]).get(endpoint.pk)
    if last is None or last.status not in (OperationStatus.FAILED, OperationStatus.LOST):
        return None
    message = str((last.result or {}).get("message") or "").partition("\n")[0]
    return LastFailureOut(**last_result_out(last).model_dump(), message=message)


def _resting(endpoint: Endpoint, changes: Sequence[Change]) -> RestingOut | None:
    rest = automatic.rests(endpoint, changes)
    return RestingOut.model_validate(rest, from_attributes=True) if rest else None


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
        ),
        fetch=[FetchOut.model_validate(fetch, from_attributes=True) for fetch in claim.fetch],
    )


def sync_diff_out(endpoint: Endpoint, *, fetch: bool = False) -> HttpResponse:
    """What a sync of the endpoint would do now; `fetch`: with where to get each package.

    Raises NoPool, NoTarget, StateUnknown, Conflict.
    """
    goal = goals.sync_goal(endpoint)
    return diff_out(
        goal.installed,
        goal.packages,
        kept=goal.kept,
        unmanaged=unmanaged_of(goal),
        refused=refused_of(endpoint, goal),
        fetch=sources.fetch_for(endpoint, goal.installed, goal.packages, goal.revision) if fetch else None,
    )


def diff_out(
    before: list[InstalledPackage],
    after: list[InstalledPackage],
    *,
    kept: dict[str, list[str]] | None = None,
    unmanaged: Sequence[dict[str, str]] = (),
    refused: Sequence[dict[str, str]] = (),
    fetch: Sequence[sources.Fetch] | None = None,
) -> HttpResponse:
    """The difference of two sets of packages, as `DiffOut` has it.

    Written here: a model of each of 20,000 changes, which Ninja checks and takes apart again, cost more than all else.
    """
    changes = difference.compare(before, after)
    body = {
        "from": states.digest(before),
        "to": states.digest(after),
        "equal": not changes,
        "counts": difference.counts(changes),
        "changes": difference.as_json(changes),
        "kept": kept or {why: [] for why in difference.KEPT},
        "unmanaged": list(unmanaged),
        "refused": list(refused),
        "fetch": None if fetch is None else [asdict(one) for one in fetch],
    }
    return HttpResponse(json.dumps(body), content_type="application/json; charset=utf-8")


def endpoint_detail(endpoint: Endpoint) -> EndpointDetail:
    seen = outlook(endpoint)
    repositories = [
        RepositoryOut(name=one.name, digest=one.content_id, mirrors=one.mirrors) for one in endpoint.repositories.all()
    ]
    known, counts = status.of_one(endpoint), difference.counts(seen.changes)
    return EndpointDetail.model_validate(
        endpoint_fields(endpoint, known, last_results.of([endpoint.pk]).get(endpoint.pk))
        | {
            "report_seq": endpoint.report_seq,
            "holds": endpoint.holds,
            "foreign": seen.foreign,
            "repositories": repositories,
            "operation": active_operation(endpoint),
            "difference": Plan(**counts),
            "why": reasons.why(endpoint, known, counts),
            "refusal": seen.refusal,
            "resting": _resting(endpoint, seen.changes),
            "problems": endpoint.examination,
            "protected": endpoint.protected,
            "refused": seen.refused,
        }
    )
