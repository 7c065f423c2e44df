"""How a status, a change or an actor looks: its tone, sign and words. It must not decide which status anything has."""

from typing import NamedTuple


class Look(NamedTuple):
    """`tone` is a class of pacsync.css; the sign says the same as the colour for those who don't see it."""

    tone: str
    sign: str
    words: str
    meaning: str = ""


STATUSES = {
    # Endpoints, worst first: the order in which they are counted and listed. `files_differ` is `in_sync` in the API.
    "diverged": Look(
        "bad", "⇅", "diverged", "differs from the target, and is neither behind it nor ahead of it: its page says how"
    ),
    "behind": Look("warn", "↓", "behind", "packages are older than the target, or missing"),
    "ahead": Look("info", "↑", "ahead", "packages are newer than the target, or not in it"),
    "unknown": Look("odd", "?", "unknown", "can't be compared with a target: its page says why"),
    # The packages are the target's, but the endpoint found files that aren't the packages'.
    "files_differ": Look(
        "warn", "≠", "in sync, files differ", "has the target's packages, but files on its disk differ from them"
    ),
    "offline": Look("off", "○", "offline", "has not been heard of for three poll intervals"),
    "in_sync": Look("ok", "✓", "in sync", "has the target's packages, apart from those that it keeps"),
}
OPERATIONS = {
    "queued": Look("off", "…", "queued", "waits for the endpoint's next check-in"),
    "leased": Look("info", "▸", "leased", "the agent has it and prepares"),
    "applying": Look("info", "▶", "applying", "pacman is running"),
    "succeeded": Look("ok", "✓", "succeeded"),
    "failed": Look("bad", "✗", "failed"),
    "cancelled": Look("off", "–", "cancelled"),
    "lost": Look("bad", "?", "lost", "past its deadline without a word from the agent"),
}
CHANGES = {
    "install": Look("info", "+", "install"),
    "upgrade": Look("ok", "↑", "upgrade"),
    "downgrade": Look("warn", "↓", "downgrade"),
    "remove": Look("bad", "−", "remove"),
    "replace": Look("odd", "=", "replace", "another build of the same version"),
    "reason": Look("off", "•", "reason", "only the install reason changes"),
}
# Between two revisions: a package that one of them doesn't manage, so that nothing is said about it there.
MANAGEMENT = {
    "manage": Look("info", "◆", "manage", "the target manages it from then on"),
    "leave": Look("off", "◇", "leave alone", "every endpoint keeps it as it is from then on"),
}
# Why a target doesn't manage a package of its source.
LEFT_OUT = {
    "dropped": "Dropped upstream",
    "foreign": "In no repository (AUR)",
    "excluded": "Excluded by the pool",
    "held": "Held at the source",
}
# What needs attention, by its kind, where no status or result is called so, or it is more than that status.
ATTENTION = {
    "unknown_revision": Look("bad", "!", "target lost", "an endpoint has seen a target that isn't here"),
    "revoked_source": Look("bad", "!", "source revoked", "the target comes from an endpoint whose token was revoked"),
    "checksums": Look("bad", "≠", "checksums differ", "the fleet has more than one file for a package version"),
    "files_differ": Look("warn", "≠", "files differ", "files on the disk differ from their packages"),
    "databases_unreadable": Look("odd", "?", "databases unreadable", "a sync database is missing or unreadable"),
    "unapproved_target": Look("warn", "…", "waits for approval", "automatic sync waits for an operator's approval"),
    "other_architecture": Look("odd", "≠", "other architecture", "the target is for another architecture"),
    "resting": Look(
        "warn",
        "‖",
        "automatic sync rests",
        "the last operation to this target failed, was cancelled, lost or taken back",
    ),
}
LOOKS = {**ATTENTION, **STATUSES, **OPERATIONS, **CHANGES, **MANAGEMENT}
TONES = {"success": "ok", "error": "bad", "warning": "warn", "info": "info", "debug": "off"}


def look(name: str) -> Look:
    """The look of a status or change; a name that is not known here (a newer fleet's) looks neutral."""
    return LOOKS.get(name) or Look("off", "•", name.replace("_", " "))
