"""The list of operations, one operation, and cancelling it."""

import uuid
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from apps.dashboard.access import actor, reader, staff
from apps.dashboard.answers import attempt
from apps.fleet import sync_coordinator
from apps.fleet.models import Operation
from apps.fleet.models.operations import ACTIVE, CANCELLABLE, OperationStatus

PER_PAGE = 50


@reader
@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    """All operations, newest first; `status` filters."""
    chosen = request.GET.get("status", "")
    found = Operation.objects.with_names().order_by("-created", "pk")
    if chosen == "active":
        found = found.filter(status__in=ACTIVE)
    elif chosen in OperationStatus.values:
        found = found.filter(status=chosen)
    # The row needs neither the result's log nor the lease.
    page = Paginator(found.defer("result"), PER_PAGE).get_page(request.GET.get("page"))
    context: dict[str, Any] = {
        "section": "operations",
        "page": page,
        "chosen": chosen,
        "statuses": ["active", *OperationStatus.values],
        "query": {"status": chosen} if chosen else {},
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
