"""Ages, durations and moments as text, for every page. It must not know a clock: both times are given."""

from datetime import UTC, datetime

# (below this many seconds, seconds in the unit, name of the unit); pacsync.js uses the same steps.
STEPS = ((60, 1, "s"), (3600, 60, "min"), (48 * 3600, 3600, "h"), (60 * 86400, 86400, "d"))
# (from this many seconds on, name of the unit, seconds of the smaller unit, its name)
TWO_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def age(then: datetime, now: datetime) -> str:
    """The time between the two, in one unit: `now`, `40 s`, `5 min`, `3 h`, `12 d`, `4 months`, `2 years`."""
    seconds = abs((now - then).total_seconds())
    if seconds < 1:
        return "now"
    for limit, unit, name in STEPS:
        if seconds < limit:
            return f"{int(seconds // unit)} {name}"
    months = int(seconds // (30.44 * 86400))
    return f"{months} months" if months < 24 else f"{months // 12} years"


def ago(then: datetime, now: datetime) -> str:
    """`3 h ago` for a moment in the past, `in 5 min` for one in the future, `now` within a second."""
    text = age(then, now)
    if text == "now":
        return text
    return f"{text} ago" if then <= now else f"in {text}"


def duration(seconds: float) -> str:
    """How long something takes, in two units at most: `1.5 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `5 d 3 h`."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 and seconds != whole else f"{whole} s"
    size, unit, smaller, small_unit = next(units for units in TWO_UNITS if whole >= units[0])
    rest = whole % size // smaller
    return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")


def moment_text(moment: datetime | None) -> str:
    """`2026-01-15 10:30 UTC`, or `never`: for places where an age isn't enough."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else "never"
