"""One endpoint's page: status, difference to its target, history, operations."""

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from apps.dashboard.presentation import vulnerabilities
from apps.dashboard.presentation.endpoint_rows import EndpointRow, row_of
from apps.dashboard.presentation.package_changes import change_table
from apps.dashboard.requests.forms import AssignForm, RightsForm
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import viewer
from apps.dashboard.views.operations.page import waiting_for
from apps.fleet import automatic, endpoint_tokens, examination, expected_values, goals, reasons, retries, sync_preview
from apps.fleet.exceptions import ComparisonTooLong
from apps.fleet.models import Endpoint, Operation, TargetRevision
from apps.fleet.models.operations import FILES_DIFFER
from apps.fleet.status import EndpointStatus
from apps.fleet.sync_preview import SyncPreview

HISTORY_PER_PAGE = 10
FINDINGS_PER_PAGE = 20


@viewer
@require_safe
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """`operations`, `history` and `vulnerabilities` page through the page's lists."""
    endpoint = get_object_or_404(Endpoint.objects.select_related("pool__target__state", "state"), name=name)
    row = row_of(endpoint)
    if row.operation:
        row.operation.endpoint = endpoint
    context: dict[str, Any] = {
        "section": "endpoints",
        "endpoint": endpoint,
        "row": row,
        "sync_to": row.operation and _target_number(row.operation),
        "waiting": waiting_for(row.operation) if row.operation else None,
        "reported_only_once": row.status == EndpointStatus.OFFLINE and endpoint.is_as_enrolled,
        "why": reasons.why(endpoint, row.status, row.counts),
        "reenrolment_until": endpoint_tokens.reenrolment_until(endpoint),
        "keeps": endpoint.state_id != (endpoint.pool and endpoint.pool.target and endpoint.pool.target.state_id),
        "key": uuid.uuid4(),
        **_what_a_sync_does(request, endpoint, row),
        **_examination(endpoint),
        **_lists(request, endpoint),
        "rights_form": RightsForm(initial={"may_set_targets": endpoint.may_set_targets}),
        "assign_form": AssignForm(initial={"pool": endpoint.pool and endpoint.pool.name}),
    }
    return render(request, "pacsync/endpoints/page.html", context)


def _what_a_sync_does(request: HttpRequest, endpoint: Endpoint, row: EndpointRow) -> dict[str, Any]:
    """The changes of a sync and where it leads, or why there is none; what is in its way; what can be done now."""
    sync = _preview(endpoint)
    goal, changes = sync.goal, sync.changes
    free = retries.gives_way(row.operation)
    known = vulnerabilities.of_endpoint(endpoint, goal)
    return {
        "vulnerabilities": known,
        "vulnerability_page": page_of(request, (known and known.found) or [], FINDINGS_PER_PAGE, "vulnerabilities"),
        "expected": expected_values.value_of(goal) if goal else "",
        "refusal": str(sync.refusal or ""),
        "resting": automatic.rests(endpoint, changes) if row.operation is None else None,
        "refused": sync.refused,
        "difference": change_table(request, changes) if goal else None,
        "kept": goal.kept if goal else {"held": endpoint.holds, "foreign": endpoint.foreign},
        "can_sync": bool(changes) and free,
        "can_revert": free and goals.newest_unreverted(endpoint) is not None,
    }


def _examination(endpoint: Endpoint) -> dict[str, Any]:
    """What the endpoint's examination found; the files that differ apart from the other warnings."""
    found = examination.of(endpoint)
    return {
        "examination": found,
        "differing": [problem for problem in found.warnings if problem["code"] == FILES_DIFFER],
        "warnings": [problem for problem in found.warnings if problem["code"] != FILES_DIFFER],
    }


def _lists(request: HttpRequest, endpoint: Endpoint) -> dict[str, Any]:
    """A page of its operations and one of its states, newest first."""
    operations = Operation.objects.with_names().filter(endpoint=endpoint).defer("result").order_by("-created", "pk")
    history = endpoint.history.select_related("state").defer("state__packages").order_by("-seq")
    return {
        "operations": page_of(request, operations, HISTORY_PER_PAGE, "operations"),
        "history": page_of(request, history, HISTORY_PER_PAGE, "history"),
    }


def _target_number(operation: Operation) -> int | None:
    """The number of the target revision that the operation leads to."""
    return TargetRevision.objects.filter(pk=operation.revision_id or 0).values_list("number", flat=True).first()


def _preview(endpoint: Endpoint) -> SyncPreview:
    """What a sync would do now, or why not; the page doesn't depend on the time that a comparison takes."""
    try:
        return sync_preview.of(endpoint)
    except ComparisonTooLong as refusal:
        return sync_preview.refused(endpoint, refusal)
