"""The timeline of one endpoint: what happened to it since a day, newest first."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from apps.dashboard.presentation.audit_phrases import as_news, audit_lines
from apps.dashboard.requests.list_query import ListQuery
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import viewer
from apps.fleet import clock, difference
from apps.fleet import timeline as events
from apps.fleet.models import Endpoint

PER_PAGE = 50


@viewer
@require_safe
def timeline(request: HttpRequest, name: str) -> HttpResponse:
    """Its states with their changes, its operations, the targets of its pool, audit events, and when it was offline."""
    endpoint = get_object_or_404(Endpoint.objects.select_related("pool"), name=name)
    query = ListQuery(request)
    since = query.moment("since")
    page = page_of(request, events.of(endpoint, since), PER_PAGE)
    pairs = [
        (event.before, event.what.state_id)
        for event in page
        if event.kind == events.TimelineKind.STATE and event.before
    ]
    changes = events.changes_between(pairs)
    audited = [event.what for event in page if event.kind == events.TimelineKind.AUDIT]
    phrases = {one.id: as_news(one) for one in audit_lines(audited)}
    lines = [
        (event, _counts(changes, event), phrases[event.what.pk] if event.kind == events.TimelineKind.AUDIT else None)
        for event in page
    ]
    context: dict[str, Any] = {
        "section": "endpoints",
        "endpoint": endpoint,
        "page": page,
        "lines": lines,
        "since": since,
        "since_text": since.strftime("%Y-%m-%d") if since else "",
        "query": query,
        "days": days(clock.now()),
    }
    return render(request, "pacsync/endpoints/timeline.html", context)


def _counts(changes: dict[events.Pair, list[difference.Change]], event: events.Event) -> dict[str, int] | None:
    """How many packages changed with a state, by kind. None for other events, and where it isn't known."""
    if event.kind != events.TimelineKind.STATE or not event.before:
        return None
    found = changes.get((event.before, event.what.state_id))
    return None if found is None else difference.counts(found)


def days(now: datetime) -> list[tuple[str, str]]:
    """The filters that are offered: their labels and the days that they mean, in UTC."""
    today = now.astimezone(UTC).date()
    return [
        ("Today", today.isoformat()),
        ("Since Monday", (today - timedelta(days=today.weekday())).isoformat()),
        ("7 days", (today - timedelta(days=7)).isoformat()),
        ("30 days", (today - timedelta(days=30)).isoformat()),
    ]
