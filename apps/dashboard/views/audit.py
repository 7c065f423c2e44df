"""The audit: who changed what, newest first."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.presentation.audit_phrases import VERBS, audit_lines
from apps.dashboard.requests.list_query import ListQuery
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import viewer
from apps.fleet.filters import AuditFilter
from apps.fleet.models import AuditEvent

PER_PAGE = 50


@viewer
@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    """All events, page by page; filtered by the API's parameters."""
    query = ListQuery(request)
    chosen = AuditFilter(
        actor=query.text("actor") or None,
        verb=_verb(query),
        object=query.text("object") or None,
        text=query.text("text"),
        since=query.moment("since"),
        until=query.moment("until"),
    )
    page = page_of(request, chosen.rows().order_by("-id"), PER_PAGE)
    context: dict[str, Any] = {
        "section": "audit",
        "page": page,
        "lines": audit_lines(page),
        "query": query,
        "verbs": VERBS,
        "export": "/api/v1/exports/audit-events",
    }
    return render(request, "pacsync/audit.html", context)


def _verb(query: ListQuery) -> str | None:
    """A verb that is known here, or that an event of a newer server has."""
    asked = query.text("verb")
    newer = [asked] if asked not in VERBS and AuditEvent.objects.filter(verb=asked).exists() else []
    return query.choice("verb", [*VERBS, *newer]) or None
