"""What happened to one endpoint, newest first, since a day."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from apps.dashboard import audit_words
from apps.dashboard.access import reader
from apps.dashboard.list_query import ListQuery
from apps.dashboard.reading import page_of
from apps.fleet import clock, difference
from apps.fleet import timeline as events
from apps.fleet.models import Endpoint

PER_PAGE = 50


@reader
@require_safe
def timeline(request: HttpRequest, name: str) -> HttpResponse:
    """States with what changed in them, operations, targets of its pool, what people did, offline and back."""
    endpoint = get_object_or_404(Endpoint.objects.select_related("pool"), name=name)
    query = ListQuery(request)
    since = query.moment("since")
    page = page_of(request, events.of(endpoint, since), PER_PAGE)
    pairs = [(event.before, event.what.state_id) for event in page if event.kind == events.Kind.STATE and event.before]
    changes = events.changes_between(pairs)
    audited = [event.what for event in page if event.kind == events.Kind.AUDIT]
    told = {one.id: audit_words.news(one) for one in audit_words.tell(audited)}
    lines = [
        (event, _counts(changes, event), told[event.what.pk] if event.kind == events.Kind.AUDIT else None)
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
    return render(request, "pacsync/timeline.html", context)


def _counts(changes: dict[events.Pair, list[difference.Change]], event: events.Event) -> dict[str, int] | None:
    """How many packages of each kind changed with a state; None where that isn't known, or is no matter."""
    if event.kind != events.Kind.STATE or not event.before:
        return None
    found = changes.get((event.before, event.what.state_id))
    return None if found is None else difference.counts(found)


def days(now: datetime) -> list[tuple[str, str]]:
    """What is offered as a filter: words and the day that they mean, in UTC."""
    today = now.astimezone(UTC).date()
    monday = today - timedelta(days=today.weekday())
    return [
        ("Today", today.isoformat()),
        ("Since Monday", monday.isoformat()),
        ("7 days", (today - timedelta(days=7)).isoformat()),
        ("30 days", (today - timedelta(days=30)).isoformat()),
    ]
