"""One operation's page: its packages, what it waits for, its progress and its result."""

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from apps.dashboard.presentation.package_changes import page_of_changes
from apps.dashboard.presentation.status_badges import CHANGE_BADGES
from apps.dashboard.requests.list_query import ListQuery
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import viewer
from apps.fleet import operation_packages, retries, waiting
from apps.fleet.exceptions import ComparisonTooLong, StateTooLarge
from apps.fleet.models import Operation
from apps.fleet.models.operations import CANCELLABLE
from apps.fleet.waiting import Waiting

PER_PAGE = 100
# What `operations/next_try.html` says already.
IN_NEXT_TRY = ("next_try", "next_report", waiting.DATABASE_LOCKED)


@viewer
@require_safe
def detail(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """`kind` and `q` filter the operation's packages, `page` pages through them."""
    found = Operation.objects.select_related(
        "endpoint__pool", "revision__pool", "reverts", "base_state", "target_state"
    ).defer("revision__repositories")
    operation = get_object_or_404(found, pk=id)
    context = {
        "section": "operations",
        "operation": operation,
        "active": operation.is_active,
        "cancellable": operation.status in CANCELLABLE,
        "runs_again": not operation.is_active or retries.gives_way(operation),
        "waiting": waiting_for(operation),
        **_packages(request, operation),
    }
    return render(request, "pacsync/operations/page.html", context)


def waiting_for(operation: Operation) -> Waiting | None:
    """What the operation waits for, unless the page says so by its next try."""
    found = waiting.of(operation)
    return None if found and operation.retry_at and found.code in IN_NEXT_TRY else found


def _packages(request: HttpRequest, operation: Operation) -> dict[str, Any]:
    """For `operations/packages.html`: the changes that the filter finds, or why they can't be shown."""
    query = ListQuery(request)
    kind, q = query.choice("kind", CHANGE_BADGES), query.text("q")
    found = operation_packages.of(operation)
    context: dict[str, Any] = {"packages": found, "query": query, "kinds": CHANGE_BADGES}
    try:
        changes, kept = found.changes, found.kept
    except (StateTooLarge, ComparisonTooLong) as refusal:
        return context | {"not_compared": str(refusal)}
    page = page_of(request, [one for one in changes if kind in ("", one.kind) and q in one.name], PER_PAGE)
    return context | {
        "page": page,
        "total": len(changes),
        "kept": {why: names for why, names in kept.items() if names},
        "difference": page_of_changes(page, changes),
    }
