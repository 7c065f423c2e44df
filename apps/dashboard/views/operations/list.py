"""The list of operations."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.presentation.endpoint_rows import pool_names
from apps.dashboard.requests.list_query import ListQuery
from apps.dashboard.requests.pagination import page_of_rows
from apps.dashboard.requests.permissions import viewer
from apps.fleet.filters import OPERATION_SORTS, OPERATION_STATUSES, OperationFilter
from apps.fleet.models import OperationKind

PER_PAGE = 50


@viewer
@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    """All operations, newest first; filtered and sorted by the API's parameters."""
    query = ListQuery(request)
    chosen = OperationFilter(
        endpoint=query.endpoint(),
        name=query.text("name"),
        pool=query.pool(),
        status=query.choice("status", OPERATION_STATUSES),
        kind=query.choice("kind", OperationKind.values),
        since=query.moment("since"),
        until=query.moment("until"),
        sort=query.choice("sort", OPERATION_SORTS, "-created"),
    )
    # The row needs neither the result's log nor the lease.
    page = page_of_rows(request, chosen.rows().defer("result").order_by(*chosen.order()), PER_PAGE)
    context: dict[str, Any] = {
        "section": "operations",
        "page": page,
        "query": query,
        "sort": chosen.sort,
        "statuses": OPERATION_STATUSES,
        "kinds": OperationKind.values,
        "pool_names": pool_names(),
        "export": "/api/v1/exports/operations",
    }
    return render(request, "pacsync/operations/list.html", context)
