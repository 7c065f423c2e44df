"""Ages in words. It must not know a clock: both times are given."""

from datetime import UTC, datetime

STEPS = ((60, 1, "s"), (3600, 60, "min"), (48 * 3600, 3600, "h"), (60 * 86400, 86400, "d"))


def age(then: datetime, now: datetime) -> str:
    """`now`, `40 s`, `5 min`, `3 h`, `12 d`, `4 months`: how long before `now` (or, in the future, after it)."""
    seconds = abs((now - then).total_seconds())
    if seconds < 1:
        return "now"
    for limit, unit, name in STEPS:
        if seconds < limit:
            return f"{int(seconds // unit)} {name}"
    months = int(seconds // (30.44 * 86400))
    return f"{months} months" if months < 24 else f"{months // 12} years"


def moment_text(moment: datetime | None) -> str:
    """`2026-01-15 10:30 UTC`: how a moment is written wherever its age isn't enough."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else "never"


def ago(then: datetime, now: datetime) -> str:
    """`3 h ago`, `in 5 min`, `now`."""
    words = age(then, now)
    if words == "now":
        return words
    return f"{words} ago" if then <= now else f"in {words}"
