"""The current list as rows: what is known about it, and replacing it as a whole. It must not know how it is fetched.

Whoever writes locks the one row first, so that two lists never mix.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.fleet import clock
from apps.fleet.exceptions import FeatureDisabled
from apps.fleet.plural import counted

from .exceptions import ListRefused
from .models import ONLY, Advisory, AdvisoryPackage, TrackerList
from .tracker_format import Entry, digest

logger = logging.getLogger(__name__)

RETRY = timedelta(minutes=15)
"""After an attempt that failed, or that nobody finished."""
_ROWS = 1000


def is_enabled() -> bool:
    """Whether known vulnerabilities are shown and looked for."""
    return bool(settings.SECURITY_TRACKER_URL)


def check_enabled() -> None:
    """Raise FeatureDisabled if they aren't."""
    if not is_enabled():
        raise FeatureDisabled(
            "Known vulnerabilities are switched off: set SECURITY_TRACKER_URL to the address of the Arch security "
            "tracker's list, https://security.archlinux.org/all.json, or to a file with it."
        )


def current() -> TrackerList:
    """The row; one that isn't stored (generation 0) before the first attempt."""
    return TrackerList.objects.filter(pk=ONLY).first() or TrackerList(pk=ONLY)


def claim(interval: timedelta) -> bool:
    """Whether the caller is to fetch now: the list is due, and nobody else has claimed it."""
    row = TrackerList.objects.filter(pk=ONLY)
    unfinished = Q(succeeded=None) | Q(succeeded__lt=F("attempted"))
    due = Q(attempted=None) | Q(attempted__lt=clock.moved(-interval))
    due |= unfinished & Q(attempted__lt=clock.moved(-RETRY))
    if not row.exists():
        _make_row()
    elif not row.filter(due).exists():  # the usual case writes nothing
        return False
    return bool(row.filter(due).update(attempted=Now()))


def begin() -> None:
    """Note that an attempt begins, whether or not the list is due: somebody asked for it."""
    _make_row()
    TrackerList.objects.filter(pk=ONLY).update(attempted=Now())


def _make_row() -> None:
    TrackerList.objects.bulk_create([TrackerList(pk=ONLY)], ignore_conflicts=True)


def confirm() -> None:
    """The source says that its list is still the one that is here."""
    TrackerList.objects.filter(pk=ONLY).update(succeeded=Now(), as_of=Now())


def fail(refusal: ListRefused) -> None:
    """Note why an attempt gave no list. The one that is here stays."""
    text = str(refusal)[:500].replace("\0", "")
    TrackerList.objects.filter(pk=ONLY).update(failed=Now(), failure_code=refusal.code, failure=text)


def replace(
    entries: Sequence[Entry],
    *,
    source: str,
    size: int,
    etag: str = "",
    last_modified: str = "",
    written: datetime | None = None,
    may_shrink: bool = False,
) -> bool:
    """Make these entries the current list. Returns whether they differ from those of before.

    `written`: when a file was written, else now. Raises ListRefused (list_shrunk) for less than half as many entries as
    before, unless it `may_shrink`.
    """
    with transaction.atomic():
        _make_row()
        known = TrackerList.objects.select_for_update().get(pk=ONLY)
        if len(entries) * 2 < known.advisory_count and not may_shrink:
            raise ListRefused(
                "list_shrunk",
                f"The list has {counted(len(entries), 'entry', 'entries')}, and the one before has "
                f"{known.advisory_count:,}.",
            )
        now = clock.now()
        known.succeeded, known.as_of = now, min(now, written or now)
        known.source, known.etag, known.last_modified, known.size = source, etag, last_modified, size
        new = digest(entries)
        changed = known.digest != new
        if changed:
            known.digest, known.advisory_count = new, len(entries)
            known.generation += 1
            _write(entries)
        known.save()
    if changed:
        logger.info("the list of known vulnerabilities has %s", counted(len(entries), "entry", "entries"))
    return changed


def _write(entries: Sequence[Entry]) -> None:
    AdvisoryPackage.objects.all().delete()
    Advisory.objects.all().delete()
    made = Advisory.objects.bulk_create(map(_row, entries), batch_size=_ROWS)
    packages = (
        AdvisoryPackage(advisory=advisory, package=package)
        for advisory, entry in zip(made, entries, strict=True)
        if entry.can_affect
        for package in entry.packages
    )
    AdvisoryPackage.objects.bulk_create(packages, batch_size=_ROWS)


def _row(entry: Entry) -> Advisory:
    return Advisory(
        name=entry.name,
        severity=entry.severity,
        status=entry.status,
        kind=entry.kind,
        affected=entry.affected,
        fixed=entry.fixed,
        ticket=entry.ticket,
        issues=list(entry.issues),
        announcements=list(entry.announcements),
    )
