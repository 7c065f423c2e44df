"""The list of operations, one operation, and cancelling it."""

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from apps.dashboard.access import actor, reader, staff
from apps.dashboard.answers import attempt
from apps.dashboard.list_query import ListQuery
from apps.dashboard.reading import page_of, pool_names
from apps.fleet import sync_coordinator
from apps.fleet.filters import OPERATION_SORTS, OPERATION_STATUSES, OperationFilter
from apps.fleet.models import Operation, OperationKind
from apps.fleet.models.operations import ACTIVE, CANCELLABLE

PER_PAGE = 50


@reader
@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    """All operations, newest first; filtered and sorted by the API's words."""
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
    page = page_of(request, chosen.rows().defer("result").order_by(*chosen.order()), PER_PAGE)
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
    return render(request, "pacsync/operations.html", context)


@reader
@require_safe
def detail(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """One operation with its plan, its times and what the agent said."""
    found = Operation.objects.select_related("endpoint__pool", "revision__pool", "reverts")
    operation = get_object_or_404(found, pk=id)
    context = {
        "section": "operations",
        "operation": operation,
        "active": operation.status in ACTIVE,
        "cancellable": operation.status in CANCELLABLE,
    }
    return render(request, "pacsync/operation.html", context)


@staff
@require_POST
def cancel(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """Cancel the operation, where that is still possible."""
    operation = get_object_or_404(Operation, pk=id)
    if attempt(request, lambda: sync_coordinator.cancel(operation=operation, actor=actor(request))):
        messages.success(request, "The operation was cancelled. Nothing was changed on the endpoint.")
    return redirect("operation", id=id)
