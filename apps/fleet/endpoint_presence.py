"""When endpoints were last heard from, and the periods in which they were offline. It must not know what they say.

Being offline is derived from `last_seen` and not stored, so the period is written when the endpoint is back.
"""

from datetime import timedelta

from django.db.models import Count, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from . import clock, status
from .models import Endpoint, OfflinePeriod

KEPT = 100
"""The newest periods of each endpoint that are kept."""
_ENDPOINTS = 100  # trimmed in one run


def seen(endpoint: Endpoint) -> None:
    """Note that the endpoint's agent is speaking now. On its own, before any lock of its operation."""
    notice_return(endpoint)
    Endpoint.objects.filter(pk=endpoint.pk).update(last_seen=Now())


def notice_return(endpoint: Endpoint) -> None:
    """Write an offline period if the endpoint, as it was just read, had been offline. No query if it wasn't.

    The database's clock decides; the clock of the process only says whether to ask it.
    """
    seen = endpoint.last_seen
    if seen is None or timezone.now() - seen < status.offline_after() / 2:
        return
    now = clock.now()
    if not status.is_offline(seen, now):
        return
    known = OfflinePeriod.objects.filter(endpoint=endpoint, since__gte=seen - timedelta(milliseconds=1)).exists()
    if not known:  # two requests of its agent at once
        OfflinePeriod.objects.create(endpoint=endpoint, since=seen, until=now)


def trim() -> int:
    """Remove periods beyond KEPT of each endpoint, and those of endpoints that are gone. Returns how many."""
    removed = _orphans()._raw_delete("default")
    for endpoint, _ in _full()[:_ENDPOINTS]:
        periods = OfflinePeriod.objects.filter(endpoint=endpoint).order_by("-until", "-pk")
        beyond = list(periods.values_list("pk", flat=True)[KEPT:])
        removed += OfflinePeriod.objects.filter(pk__in=beyond).delete()[0]
    return removed


def removable() -> int:
    """How many rows `trim` would remove, if it went on to the end."""
    return _orphans().count() + sum(count - KEPT for _, count in _full())


def _orphans() -> QuerySet[OfflinePeriod]:
    return OfflinePeriod.objects.exclude(endpoint__in=Endpoint.objects.values("pk"))


def _full() -> QuerySet[OfflinePeriod, tuple[int, int]]:
    """(endpoint, periods) of those with more than KEPT."""
    counted = OfflinePeriod.objects.filter(endpoint__in=Endpoint.objects.values("pk")).values_list("endpoint")
    return counted.annotate(count=Count("pk")).filter(count__gt=KEPT).order_by()
