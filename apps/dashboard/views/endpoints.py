"""The list of endpoints, and one endpoint: status, difference to its target, history, operations."""

import uuid
from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from apps.dashboard.access import reader
from apps.dashboard.endpoint_filter import asked
from apps.dashboard.forms import AssignForm, RightsForm
from apps.dashboard.list_query import ListQuery
from apps.dashboard.look import STATUSES
from apps.dashboard.reading import page_of, pool_names, rows, shown, statuses_of
from apps.dashboard.views.operation import waits_of
from apps.fleet import automatic, examination, goals, protection, reasons, retrying
from apps.fleet.exceptions import FleetError
from apps.fleet.filters import LAST_RESULTS
from apps.fleet.models import Endpoint, Operation, TargetRevision
from apps.fleet.models.operations import FILES_DIFFER
from apps.fleet.status import Status

PER_PAGE = 50
HISTORY_PER_PAGE = 10
# What a page shows apart, in the API's words.
EXPORTED: dict[str, dict[str, str]] = {
    FILES_DIFFER: {"status": str(Status.IN_SYNC), "files_differ": "true"},
    Status.IN_SYNC: {"status": str(Status.IN_SYNC), "files_differ": "false"},
}
# Filters that are folded away until one of them is used.
MORE_FILTERS = {"package", "agent_version", "seen_after", "seen_before", "last_result", "files_differ", "resting"}


@reader
@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    """All endpoints, page by page; filtered and sorted by the API's words."""
    query = ListQuery(request)
    chosen, status = asked(query)
    found = chosen.rows().order_by(*chosen.order())
    statuses = None
    if status:
        statuses = statuses_of(found.select_related(None))
        page = page_of(request, [pk for pk, (_, name) in statuses.items() if name == status], PER_PAGE)
        endpoints: Iterable[Endpoint] = found.filter(pk__in=list(page.object_list))
    else:
        page = page_of(request, found, PER_PAGE)
        endpoints = list(page)
    context: dict[str, Any] = {
        "section": "endpoints",
        "page": page,
        "rows": rows(endpoints, statuses),
        "statuses": STATUSES,
        "last_results": LAST_RESULTS,
        "either": [("true", "yes"), ("false", "no")],
        "query": query,
        "sort": chosen.sort,
        "pool_names": pool_names(),
        "more_filters": bool(query.used.keys() & MORE_FILTERS),
        "export": "/api/v1/exports/endpoints",
        "exported": query.query(**EXPORTED.get(status, {})),
    }
    return render(request, "pacsync/endpoints.html", context)


@reader
@require_safe
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """The endpoint's page; `operations` and `history` page through its two lists."""
    endpoint = get_object_or_404(Endpoint.objects.select_related("pool__target__state", "state"), name=name)
    row = rows([endpoint])[0]
    if row.operation:
        row.operation.endpoint = endpoint
    operations = Operation.objects.with_names().filter(endpoint=endpoint).defer("result").order_by("-created", "pk")
    history = endpoint.history.select_related("state").defer("state__packages").order_by("-seq")
    goal, refusal = _goal(endpoint)
    changes = goal.changes if goal else []
    rest = automatic.rests(endpoint, changes) if row.operation is None else None
    free = retrying.gives_way(row.operation)
    found = examination.of(endpoint)
    context = {
        "section": "endpoints",
        "endpoint": endpoint,
        "row": row,
        "sync_to": row.operation and _number_of(row.operation),
        "waits": waits_of(row.operation) if row.operation else None,
        "was_heard_of_once": row.status == Status.OFFLINE and endpoint.is_as_enrolled,
        "goal": goal,
        "refusal": refusal,
        "why": reasons.why(endpoint, row.status, row.counts),
        "resting": rest,
        "keeps": endpoint.state_id != (endpoint.pool and endpoint.pool.target and endpoint.pool.target.state_id),
        "examination": found,
        "differing": [problem for problem in found.warnings if problem["code"] == FILES_DIFFER],
        "warnings": [problem for problem in found.warnings if problem["code"] != FILES_DIFFER],
        "refused": protection.refused_by(endpoint, goal) if goal else [],
        "difference": shown(request, changes) if goal else None,
        "kept": goal.kept if goal else {"held": endpoint.holds, "foreign": endpoint.foreign},
        "can_sync": bool(changes) and free,
        "can_revert": free and goals.newest_unreverted(endpoint) is not None,
        "key": uuid.uuid4(),
        "operations": page_of(request, operations, HISTORY_PER_PAGE, "operations"),
        "history": page_of(request, history, HISTORY_PER_PAGE, "history"),
        "rights_form": RightsForm(initial={"may_set_targets": endpoint.may_set_targets}),
        "assign_form": AssignForm(initial={"pool": endpoint.pool and endpoint.pool.name}),
    }
    return render(request, "pacsync/endpoint.html", context)


def _number_of(operation: Operation) -> int | None:
    """The number of the target revision that it leads to."""
    return TargetRevision.objects.filter(pk=operation.revision_id or 0).values_list("number", flat=True).first()


def _goal(endpoint: Endpoint) -> tuple[goals.Goal | None, str]:
    """What a sync would do now, or why it can't be said."""
    try:
        return goals.sync_goal(endpoint), ""
    except FleetError as refusal:
        return None, str(refusal)
