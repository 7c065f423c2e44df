"""How much an endpoint may upload: numbers per hour, bytes per day, bytes that are kept. It must not know HTTP.

It is counted in the database, so that it holds for all workers and instances together, and only when something is
uploaded. An upload counts when it begins, so that a refused one counts too: it costs the server as much.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from math import ceil

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet, Sum

from . import clock
from .exceptions import NotFound, QuotaExceeded
from .models import Endpoint, RepositoryContent, State, Upload

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MIB = 1 << 20
# Kept uploads make room when retention removes them; nobody knows when, and agents ask again within an hour.
_LONGEST_WAIT = 3600
_AT_ONCE = 5000


@contextmanager
def counted(*, endpoint: Endpoint, digest: str) -> Iterator[Upload]:
    """Count an upload; within, set `size` once it was read, and `kept` when it was new.

    Raises QuotaExceeded, and NotFound when the endpoint was deleted.
    """
    upload = _begin(endpoint, digest)
    try:
        yield upload
    finally:
        if upload.size:
            Upload.objects.filter(pk=upload.pk).update(size=upload.size, kept=upload.kept)


def _begin(endpoint: Endpoint, digest: str) -> Upload:
    with transaction.atomic():
        # One after the other: uploads at the same time would all find the same room.
        if Endpoint.objects.select_for_update().filter(pk=endpoint.pk).values_list("pk").first() is None:
            raise NotFound("The endpoint was deleted.")
        _check(endpoint)
        return Upload.objects.create(endpoint=endpoint, digest=digest)


def _check(endpoint: Endpoint) -> None:
    now = clock.now()
    last_hour, last_day = Q(at__gt=now - HOUR), Q(at__gt=now - DAY)
    found = _of(endpoint).aggregate(
        number=Count("pk", filter=last_hour),
        first_in_hour=Min("at", filter=last_hour),
        daily=Sum("size", filter=last_day, default=0),
        first_in_day=Min("at", filter=last_day & Q(size__gt=0)),
        stored=Sum("size", filter=Q(kept=True, exists=True), default=0),
    )
    number, daily, stored = settings.UPLOAD_QUOTA_PER_HOUR, settings.UPLOAD_QUOTA_MB_PER_DAY, _stored_quota()
    if number and found["number"] >= number:
        _refuse(f"made {number:,} uploads in an hour (UPLOAD_QUOTA_PER_HOUR)", _left(found["first_in_hour"], HOUR, now))
    if daily and found["daily"] >= daily * MIB:
        _refuse(f"uploaded {daily:,} MiB in a day (UPLOAD_QUOTA_MB_PER_DAY)", _left(found["first_in_day"], DAY, now))
    if stored and found["stored"] >= stored * MIB:
        _refuse(f"uploaded {stored:,} MiB that are still kept (UPLOAD_QUOTA_MB_STORED)", _LONGEST_WAIT)


def _of(endpoint: Endpoint) -> "QuerySet[Upload]":
    content = Q(Exists(State.objects.filter(pk=OuterRef("digest"))))
    content |= Q(Exists(RepositoryContent.objects.filter(pk=OuterRef("digest"))))
    return Upload.objects.filter(endpoint=endpoint).annotate(exists=content)


def _stored_quota() -> int:
    """In MiB. Without cleanup everything is kept for good, and an honest endpoint would reach any limit."""
    return int(settings.UPLOAD_QUOTA_MB_STORED) if settings.AUTO_CLEANUP_OLD_STATES else 0


def _left(first: datetime, window: timedelta, now: datetime) -> int:
    """Seconds until the first upload of the window doesn't count any more."""
    return min(_LONGEST_WAIT, max(1, ceil((first + window - now).total_seconds())))


def _refuse(what: str, seconds: int) -> None:
    raise QuotaExceeded(f"This endpoint has {what}; it may continue in {seconds} s.", retry_after=seconds)


def forget() -> int:
    """A chore: remove what no quota counts any more. Returns how many rows."""
    old = Upload.objects.filter(at__lt=clock.moved(-DAY))
    if _stored_quota():
        old = old.exclude(Exists(State.objects.filter(pk=OuterRef("digest"))), kept=True)
        old = old.exclude(Exists(RepositoryContent.objects.filter(pk=OuterRef("digest"))), kept=True)
    keys = list(old.order_by("pk").values_list("pk", flat=True)[:_AT_ONCE])
    return Upload.objects.filter(pk__in=keys).delete()[0] if keys else 0
