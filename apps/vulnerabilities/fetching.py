"""Gets the list from its source and stores it, on a schedule or when asked. It must not know what is installed.

No transaction is open while the source answers. Instances take turns by a claim in the row of the list.
"""

import logging
from datetime import timedelta

from django.conf import settings

from . import source, tracker_format, tracker_list
from .exceptions import ListRefused

logger = logging.getLogger(__name__)


def fetch_if_due() -> bool:
    """Fetch if the feature is on, the list is due and no other instance has begun. Returns whether a new list came.

    A chore's step: a failure is stored and logged, not raised.
    """
    if not tracker_list.is_enabled() or not tracker_list.claim(timedelta(hours=settings.SECURITY_TRACKER_HOURS)):
        return False
    try:
        return _take(settings.SECURITY_TRACKER_URL)
    except ListRefused as refusal:
        logger.warning("the list of known vulnerabilities was not taken (%s): %s", refusal.code, refusal)
        return False


def fetch_now(*, may_shrink: bool = False) -> bool:
    """Fetch from the configured source, due or not. Returns whether the list changed. Raises ListRefused."""
    tracker_list.begin()
    return _take(settings.SECURITY_TRACKER_URL, may_shrink=may_shrink)


def load_file(path: str, *, may_shrink: bool = False) -> bool:
    """Take the list in this file. Returns whether the list changed. Raises ListRefused.

    Only whoever named the file learns why it is refused: that says nothing about the configured source.
    """
    return _read_and_store(path, may_shrink=may_shrink)


def _take(address: str, *, may_shrink: bool = False) -> bool:
    try:
        return _read_and_store(address, may_shrink=may_shrink)
    except ListRefused as refusal:
        tracker_list.fail(refusal)
        raise


def _read_and_store(address: str, *, may_shrink: bool) -> bool:
    known, name = tracker_list.current(), source.shown(address)
    same = known.generation > 0 and known.source == name
    found = source.read(address, etag=known.etag if same else "", last_modified=known.last_modified if same else "")
    if found.data is None:
        tracker_list.confirm()
        return False
    try:
        return tracker_list.replace(
            tracker_format.read(found.data),
            source=name,
            size=len(found.data),
            etag=found.etag,
            last_modified=found.last_modified,
            written=found.written,
            may_shrink=may_shrink,
        )
    except ListRefused as refusal:
        raise ListRefused(refusal.code, f"{refusal} It came from {name}.") from None
