"""The list of endpoints, and one endpoint: status, difference to its target, history, operations."""

import uuid
from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from apps.dashboard.access import reader
from apps.dashboard.forms import AssignForm, RightsForm
from apps.dashboard.look import STATUSES
from apps.dashboard.reading import page_of, rows, shown, statuses_of
from apps.fleet import examination, goals, protection, retrying
from apps.fleet.exceptions import FleetError
from apps.fleet.models import Endpoint, Operation, Pool
from apps.fleet.models.operations import FILES_DIFFER

PER_PAGE = 50
HISTORY_PER_PAGE = 10
# As many pool names are offered while typing.
POOLS_OFFERED = 200


def matching(request: HttpRequest) -> QuerySet[Endpoint]:
    """The endpoints that the request's `q` (part of the name) and `pool` (`-` is none) ask for, by name."""
    found = Endpoint.objects.select_related("pool").order_by("name")
    if q := request.GET.get("q", "").strip():
        found = found.filter(name__icontains=q.replace("\0", ""))
    pool = request.GET.get("pool", "").strip().replace("\0", "")
    if pool == "-":
        return found.filter(pool=None)
    return found.filter(pool__name=pool) if pool else found


@reader
@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    """All endpoints, page by page; filtered by name, pool and status."""
    found = matching(request)
    chosen = request.GET.get("status", "")
    statuses = None
    if chosen in STATUSES:
        statuses = statuses_of(found.select_related(None))
        page = page_of(request, [pk for pk, (_, status) in statuses.items() if status == chosen], PER_PAGE)
        endpoints: Iterable[Endpoint] = found.filter(pk__in=list(page.object_list))
    else:
        page = page_of(request, found, PER_PAGE)
        endpoints = list(page)
    context: dict[str, Any] = {
        "section": "endpoints",
        "page": page,
        "rows": rows(endpoints, statuses),
        "statuses": STATUSES,
        "chosen": chosen,
        "q": request.GET.get("q", ""),
        "pool_name": request.GET.get("pool", ""),
        "pool_names": Pool.objects.order_by("name").values_list("name", flat=True)[:POOLS_OFFERED],
        "filtered": any(request.GET.get(name) for name in ("q", "pool", "status")),
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
    free = retrying.gives_way(row.operation)
    found = examination.of(endpoint)
    context = {
        "section": "endpoints",
        "endpoint": endpoint,
        "row": row,
        "goal": goal,
        "refusal": refusal,
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
