"""One endpoint in the API, with everything known about it: status and why, active operation, what a sync would do.

It writes nothing; apps.fleet decides what the parts mean.
"""

from collections.abc import Sequence

from apps.api.schemas.endpoints import EndpointDetail, NoSyncOut, RepositoryOut, RestingOut, endpoint_fields
from apps.api.schemas.operations import OperationOut, Plan, operation_out
from apps.api.schemas.vulnerabilities import of_endpoint
from apps.fleet import automatic, difference, endpoint_tokens, last_results, reasons, status, sync_preview
from apps.fleet.difference import Change
from apps.fleet.exceptions import FleetError
from apps.fleet.models import Endpoint, Operation


def active_operation(endpoint: Endpoint) -> OperationOut | None:
    rows = Operation.objects.with_names().filter(endpoint=endpoint).active()
    operation = rows.first()
    return operation_out(operation) if operation else None


def resting_out(endpoint: Endpoint, changes: Sequence[Change]) -> RestingOut | None:
    rest = automatic.rests(endpoint, changes)
    return RestingOut.model_validate(rest, from_attributes=True) if rest else None


def _no_sync(refusal: FleetError | None) -> NoSyncOut | None:
    return NoSyncOut(code=refusal.code, detail=str(refusal)) if refusal else None


def endpoint_detail(endpoint: Endpoint) -> EndpointDetail:
    sync = sync_preview.of(endpoint)
    repositories = [
        RepositoryOut(name=one.name, digest=one.content_id, mirrors=one.mirrors) for one in endpoint.repositories.all()
    ]
    known, counts = status.of_one(endpoint), difference.counts(sync.changes)
    return EndpointDetail.model_validate(
        endpoint_fields(endpoint, known, last_results.short([endpoint.pk]).get(endpoint.pk))
        | {
            "report_seq": endpoint.report_seq,
            "rotation_requested": endpoint.rotation_requested,
            "reenrolment_until": endpoint_tokens.reenrolment_until(endpoint),
            "holds": endpoint.holds,
            "foreign": sync.foreign,
            "repositories": repositories,
            "operation": active_operation(endpoint),
            "difference": Plan(**counts),
            "why": reasons.why(endpoint, known, counts),
            "refusal": _no_sync(sync.refusal),
            "resting": resting_out(endpoint, sync.changes),
            "problems": endpoint.examination,
            "protected": endpoint.protected,
            "signing": endpoint.signing,
            "refused": [removal._asdict() for removal in sync.refused],
            "vulnerabilities": of_endpoint(endpoint),
        }
    )
