"""How long an HTTP answer asks the client to wait (RFC 9110, 10.2.3). It must not know the server or wait."""

from __future__ import annotations

import datetime
import email.utils


def seconds(text: str, *, most: float) -> float:
    """The seconds that a Retry-After header names, as a number or as a date; 0 where it says nothing useful."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(most, float(text[:12]))
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return max(0.0, min(most, (moment - datetime.datetime.now(datetime.timezone.utc)).total_seconds()))
