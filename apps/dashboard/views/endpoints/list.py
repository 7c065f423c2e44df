"""The list of endpoints, filtered and sorted by the API's parameters."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.presentation.endpoint_rows import FIELDS, pool_names, rows, with_badge
from apps.dashboard.requests.endpoint_filter import endpoint_filter
from apps.dashboard.requests.list_query import ListQuery
from apps.dashboard.requests.pagination import page_of_rows
from apps.dashboard.requests.permissions import viewer
from apps.fleet.after_sync import LEFT_TO_DO
from apps.fleet.filters import LAST_RESULTS
from apps.fleet.models.operations import FILES_DIFFER
from apps.fleet.status import EndpointStatus
from apps.fleet.status_badges import ENDPOINT_BADGES

PER_PAGE = 50
# Badges that the API knows as a status with a filter.
EXPORTED: dict[str, dict[str, str]] = {
    FILES_DIFFER: {"status": str(EndpointStatus.IN_SYNC), "files_differ": "true"},
    EndpointStatus.IN_SYNC: {"status": str(EndpointStatus.IN_SYNC), "files_differ": "false"},
}
# Filters that are folded away until one of them is used.
MORE_FILTERS = {
    "package",
    "agent_version",
    "seen_after",
    "seen_before",
    "last_result",
    "files_differ",
    "resting",
    "after_sync",
    "token_shared",
    "awaits_approval",
}


@viewer
@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    """All endpoints that the filter finds, page by page."""
    query = ListQuery(request)
    chosen, badge = endpoint_filter(query)
    found = chosen.rows().only("pool__name", *FIELDS).order_by(*chosen.order())
    page = page_of_rows(request, with_badge(found, badge) if badge else found, PER_PAGE)
    context: dict[str, Any] = {
        "section": "endpoints",
        "page": page,
        "rows": rows(page),
        "statuses": ENDPOINT_BADGES,
        "last_results": LAST_RESULTS,
        "left_to_do": LEFT_TO_DO,
        "either": [("true", "yes"), ("false", "no")],
        "query": query,
        "sort": chosen.sort,
        "pool_names": pool_names(),
        "more_filters": bool(query.used.keys() & MORE_FILTERS),
        "export": "/api/v1/exports/endpoints",
        "exported": query.query(**EXPORTED.get(badge, {})),
    }
    return render(request, "pacsync/endpoints/list.html", context)
