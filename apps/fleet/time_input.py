"""Moments that a person or a program gives as text. It must not know what they are for."""

from datetime import UTC, datetime

from .exceptions import Invalid


def parse(text: str, *, field: str) -> datetime:
    """The moment of `2026-01-15`, `2026-01-15T10:30` or an RFC 3339 time, in UTC; without a zone it is UTC.

    Raises Invalid.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        text = f"{field} must be a date like 2026-01-15 or a time like 2026-01-15T10:30Z."
        raise Invalid(text, field=field) from None
