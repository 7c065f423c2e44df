"""A forecast as the lines of a table: which machines, how many, which packages. It must not compare anything."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.urls import reverse

from apps.dashboard.look import Look
from apps.fleet.forecast import CANNOT, KEPT, Effect, Forecast
from apps.fleet.going_back import Left
from apps.fleet.models import OperationKind, OperationStatus, Pool
from apps.fleet.proposed import Proposed

NAMES_SHOWN = 10
# In the order of the table.
EFFECTS: dict[Effect, Look] = {
    Effect.CHANGES: Look("info", "±", "change", "a sync would change packages"),
    Effect.FOLLOWS: Look("info", "»", "follow by themselves", "automatic sync queues it at their next check-in"),
    Effect.DOWNGRADES: Look("warn", "↓", "go back", "at least one package gets an older version"),
    Effect.REMOVALS: Look("bad", "−", "lose packages", "at least one package is removed"),
    Effect.OFFLINE: Look("off", "○", "offline", "of those that change; they start when they are back"),
    Effect.ACTIVE: Look("info", "▶", "at work", "an operation is queued or under way; that one comes first"),
    Effect.PROTECTED: Look("bad", "✗", "would refuse", "their agents let nobody remove what they can't do without"),
    Effect.NO_FILE: Look(
        "warn",
        "?",
        "may refuse",
        "neither the target nor their own databases know the file of a package: they take it only with a good "
        "signature, or from their cache",
    ),
    Effect.LOCKED_OUT: Look("bad", "✗", "locked out", "their token was revoked: they can't carry it out"),
    Effect.UNREPORTED: Look("odd", "?", "not reported yet", "what is on them isn't known, so no sync can be made"),
    Effect.OTHER_ARCHITECTURE: Look("odd", "≠", "other architecture", "no sync can be made: it is for another one"),
    Effect.DATABASES_UNREADABLE: Look(
        "odd", "?", "databases unreadable", "which packages are foreign isn't known, so no sync can be made"
    ),
    Effect.NOTHING_LEFT: Look("bad", "✗", "left with nothing", "no sync can be made: no package would be left"),
    Effect.NOT_COMPARED: Look("odd", "?", "not compared", "too many packages, or no time was left"),
    Effect.HELD: Look("off", "‖", "keep held packages", "the machine holds what differs from the target"),
    Effect.FOREIGN: Look("off", "‖", "keep foreign packages", "they are in no repository, so they stay"),
    Effect.EXCLUDED: Look("off", "‖", "keep excluded packages", "the pool excludes what differs from the target"),
    Effect.UNMANAGED: Look("off", "‖", "keep unmanaged packages", "the target leaves alone what differs"),
    Effect.UNCHANGED: Look("ok", "✓", "stay as they are", "a sync would change nothing"),
}


# What changes nothing for the machine, and what its pool's policy does, isn't said in one line.
UNSAID = (*KEPT, Effect.FOLLOWS)


class Names(NamedTuple):
    """At most ten names, and how many more there are."""

    shown: list[Any]
    more: int


class Counted(NamedTuple):
    """Machines: how many, and the first of them."""

    number: int
    names: Names


class Line(NamedTuple):
    """One effect: on `number` machines. `packages` are (name, on how many machines) pairs, the most frequent first."""

    effect: Effect
    look: Look
    number: int
    machines: Names
    packages: Names
    address: str


def cut(names: Iterable[Any]) -> Names:
    """The first ten, and how many more."""
    found = list(names)
    return Names(found[:NAMES_SHOWN], max(0, len(found) - NAMES_SHOWN))


def address_of(pool: Pool, what: Proposed, effect: Effect | None = None) -> str:
    """The page that lists the machines of one effect."""
    words = {"of": what.of} | ({"machines": effect.value} if effect else {})
    return f"{reverse('preview', args=[pool.name])}?{urlencode(words)}"


def told(pool: Pool, what: Proposed, found: Forecast) -> dict[str, Any]:
    """For `pacsync/forecast.html`: the effects that there are, and what is to be said above them."""
    return {
        "lines": [_line(pool, what, found, effect) for effect in EFFECTS if found.machines[effect]],
        "total": found.total,
        "changing": found.count(Effect.CHANGES),
        "cannot": sum(map(found.count, CANNOT)),
        "what": what.words,
        "follow": _follow(pool, found),
        "left": told_left(pool, found.left),
    }


def told_briefly(counts: Mapping[Effect, int]) -> list[tuple[Look, int]]:
    """What is to be known before a click, in one line: the effects that there are, with how many machines."""
    return [(look, counts[effect]) for effect, look in EFFECTS.items() if counts.get(effect) and effect not in UNSAID]


def told_left(pool: Pool, left: Left) -> dict[str, Any]:
    """For `pacsync/left_syncs.html`: the queued syncs that go with the change of the target, and those that stay."""
    words = urlencode({"pool": pool.name, "status": OperationStatus.QUEUED.value, "kind": OperationKind.SYNC.value})
    return {
        "cancelled": Counted(len(left.cancelled), cut(left.cancelled)),
        "staying": Counted(len(left.staying), cut(left.staying)),
        "address": f"{reverse('operations')}?{words}",
    }


def _follow(pool: Pool, found: Forecast) -> str:
    """Which machines change by themselves, once it is the target."""
    changing, following = found.count(Effect.CHANGES), found.count(Effect.FOLLOWS)
    if not pool.auto_sync:
        return "No endpoint changes before it is synced."
    if pool.paused_since is not None:
        return "Automatic sync is paused, so no endpoint changes before it is synced."
    if not changing:
        return "Automatic sync is on, and would change nothing."
    others = changing - following
    wait = f"; {others} {'waits' if others == 1 else 'wait'} to be synced by hand" if others else ""
    return f"Automatic sync is on: {_following(following, changing)}{wait}."


def _following(following: int, changing: int) -> str:
    which = "all" if following == changing > 1 else f"{following} of the"
    return f"{which} {changing} that change will follow by themselves"


def _line(pool: Pool, what: Proposed, found: Forecast, effect: Effect) -> Line:
    names = sorted(found.packages[effect].items(), key=lambda one: (-one[1], one[0]))
    return Line(
        effect=effect,
        look=EFFECTS[effect],
        number=found.count(effect),
        machines=cut(found.machines[effect]),
        packages=cut(names),
        address=address_of(pool, what, effect),
    )
