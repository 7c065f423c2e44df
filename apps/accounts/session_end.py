"""When a session ends: some time after its last use, and at the latest some time after the login.

The row of a session has that time as its end, so Django itself refuses an older one. A use moves it, at most once a
minute and outside of requests: reading a page needs no database that takes writes. It must not know who is logged in.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils import timezone

from apps.lifecycle.work import deferred_writes

USES = "session_uses"
BEGAN = "began"
"""In a session: when somebody logged in, in seconds since 1970."""
RESOLUTION = timedelta(minutes=1)

Use = tuple[str, datetime]
"""The key of a session, and its new end."""


def begin(session: Any) -> None:
    """Somebody has just logged in."""
    session[BEGAN] = int(timezone.now().timestamp())


def end(began: int | None) -> datetime:
    """When a session ends that is used now; `began` is None for a session without a login."""
    idle = timezone.now() + timedelta(minutes=settings.SESSION_IDLE_MINUTES)
    if began is None:
        return idle
    return min(idle, datetime.fromtimestamp(began, UTC) + timedelta(hours=settings.SESSION_MAX_HOURS))


def used(session: Any) -> None:
    """Have the end of the session moved, if that makes a minute or more. Never waits, never fails, no query.

    A session of before this release ends when it would have: it doesn't say when it began.
    """
    if session.session_key is None or session.ends is None or BEGAN not in session:
        return
    later = end(session[BEGAN]).replace(second=0, microsecond=0)
    if later - session.ends >= RESOLUTION:
        deferred_writes.defer(USES, (session.session_key, later))


def write_uses(uses: Collection[Use]) -> None:
    """Write the new ends. One that is over or was ended meanwhile stays so."""
    keys: dict[datetime, list[str]] = defaultdict(list)
    for key, later in uses:
        keys[later].append(key)
    for later, sessions in keys.items():
        Session.objects.filter(pk__in=sessions, expire_date__lt=later).update(expire_date=later)
