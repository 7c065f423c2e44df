"""How the statuses of endpoints and operations are shown: the one table, for every page that shows one.

It must not decide which status anything has.
"""

from typing import NamedTuple


class Badge(NamedTuple):
    """A coloured label. `tone` is a class of pacsync.css (ok, warn, bad, info, off, odd).

    `sign` says the same as the colour, for people who don't see colours; `meaning` is the tooltip.
    """

    tone: str
    sign: str
    label: str
    meaning: str = ""


# Endpoints, worst first: the order in which they are counted and listed. `files_differ` is `in_sync` in the API.
ENDPOINT_BADGES = {
    "diverged": Badge(
        "bad", "⇅", "diverged", "differs from the target, and is neither behind it nor ahead of it: its page says how"
    ),
    "behind": Badge("warn", "↓", "behind", "packages are older than the target, or missing"),
    "ahead": Badge("info", "↑", "ahead", "packages are newer than the target, or not in it"),
    "unknown": Badge("odd", "?", "unknown", "can't be compared with a target: its page says why"),
    "files_differ": Badge(
        "warn", "≠", "in sync, files differ", "has the target's packages, but files on its disk differ from them"
    ),
    "offline": Badge("off", "○", "offline", "has not reported for three poll intervals"),
    "in_sync": Badge("ok", "✓", "in sync", "has the target's packages, apart from those that it keeps"),
}
OPERATION_BADGES = {
    "queued": Badge("off", "…", "queued", "waits for the endpoint's next check-in"),
    "leased": Badge("info", "▸", "leased", "the agent has it and prepares"),
    "applying": Badge("info", "▶", "applying", "pacman is running"),
    "succeeded": Badge("ok", "✓", "succeeded"),
    "failed": Badge("bad", "✗", "failed"),
    "cancelled": Badge("off", "–", "cancelled"),
    "lost": Badge("bad", "?", "lost", "the agent did not report before the deadline"),
}
