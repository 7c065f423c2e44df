"""One operation: what it does and did, what it waits for, how far it is, and what came of it."""

import uuid
from collections import Counter
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from apps.dashboard.access import reader
from apps.dashboard.list_query import ListQuery
from apps.dashboard.look import CHANGES
from apps.dashboard.reading import Line, page_of
from apps.fleet import operation_packages, retrying, waiting
from apps.fleet.exceptions import ComparisonTooLong, StateTooLarge
from apps.fleet.models import Operation
from apps.fleet.models.operations import ACTIVE, CANCELLABLE
from apps.fleet.waiting import Waiting

PER_PAGE = 100
IN_NEXT_TRY = ("next_try", "next_report", waiting.DATABASE_LOCKED)


@reader
@require_safe
def detail(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """The operation's page; `kind` and `q` narrow its packages, `page` pages through them."""
    found = Operation.objects.select_related(
        "endpoint__pool", "revision__pool", "reverts", "base_state", "target_state"
    ).defer("revision__repositories")
    operation = get_object_or_404(found, pk=id)
    context = {
        "section": "operations",
        "operation": operation,
        "active": operation.status in ACTIVE,
        "cancellable": operation.status in CANCELLABLE,
        "runs_again": operation.status not in ACTIVE or retrying.gives_way(operation),
        "waits": waits_of(operation),
        **_packages(request, operation),
    }
    return render(request, "pacsync/operation.html", context)


def waits_of(operation: Operation) -> Waiting | None:
    """What it waits for, where `pacsync/next_try.html` doesn't say it already."""
    waits = waiting.of(operation)
    return None if waits and operation.retry_at and waits.code in IN_NEXT_TRY else waits


def _packages(request: HttpRequest, operation: Operation) -> dict[str, Any]:
    """What `pacsync/operation_packages.html` shows: the changes that are asked for, or why there are none to show."""
    query = ListQuery(request)
    kind, q = query.choice("kind", CHANGES), query.text("q")
    found = operation_packages.of(operation)
    context: dict[str, Any] = {"packages": found, "query": query, "kinds": CHANGES}
    try:
        changes, kept = found.changes, found.kept
    except (StateTooLarge, ComparisonTooLong) as refusal:
        return context | {"not_compared": str(refusal)}
    page = page_of(request, [one for one in changes if kind in ("", one.kind) and q in one.name], PER_PAGE)
    return context | {
        "page": page,
        "total": len(changes),
        "kept": {why: names for why, names in kept.items() if names},
        "difference": {
            "changes": [Line(*change) for change in page],
            "counts": Counter(change.kind for change in changes),
        },
    }
