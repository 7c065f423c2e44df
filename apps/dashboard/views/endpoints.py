"""The list of endpoints, and one endpoint: status, difference to its target, history, operations."""

import uuid
from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from apps.dashboard.access import reader
from apps.dashboard.forms import AssignForm, RightsForm
from apps.dashboard.list_query import ListQuery
from apps.dashboard.look import STATUSES
from apps.dashboard.reading import page_of, pool_names, rows, shown, statuses_of
from apps.fleet import examination, goals, protection, reasons, resting, retrying
from apps.fleet.exceptions import FleetError
from apps.fleet.filters import LAST_RESULTS, SORTS, EndpointFilter
from apps.fleet.models import Endpoint, Operation
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
MORE_FILTERS = {"package", "agent_version", "seen_after", "seen_before", "last_result"}


@reader
@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    """All endpoints, page by page; filtered and sorted by the API's words."""
    query = ListQuery(request)
    chosen = EndpointFilter(
        pool=query.pool(),
        name=query.text("name"),
        package=query.text("package"),
        agent_version=query.text("agent_version"),
        seen_after=query.moment("seen_after"),
        seen_before=query.moment("seen_before"),
        last_result=query.choice("last_result", LAST_RESULTS),
        sort=query.choice("sort", SORTS, "name"),
    )
    status = query.choice("status", STATUSES)
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
    operations = Operation.objects.with_names().filter(endpoint=endpoint).defer("result").order_by("-created", "pk")
    history = endpoint.history.select_related("state").defer("state__packages").order_by("-seq")
    goal, refusal = _goal(endpoint)
    changes = goal.changes if goal else []
    rest = resting.of_one(endpoint) if changes and row.operation is None else None
    free = retrying.gives_way(row.operation)
    found = examination.of(endpoint)
    context = {
        "section": "endpoints",
        "endpoint": endpoint,
        "row": row,
        "was_heard_of_once": row.status == Status.OFFLINE and endpoint.is_as_enrolled,
        "goal": goal,
        "refusal": refusal,
        "why": reasons.why(endpoint, row.status, row.counts),
        "resting": rest,
        "keeps": bool(goal and any(goal.kept.values())),
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


def _goal(endpoint: Endpoint) -> tuple[goals.Goal | None, str]:
    """What a sync would do now, or why it can't be said."""
    try:
        return goals.sync_goal(endpoint), ""
    except FleetError as refusal:
        return None, str(refusal)
