"""A forecast as the lines of a table: which machines, how many, which packages. It must not compare anything."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.urls import reverse

from apps.dashboard.presentation.name_lists import NameList, shorten
from apps.dashboard.presentation.status_badges import EFFECT_BADGES
from apps.fleet.forecast import CANNOT, KEPT, Effect, Forecast
from apps.fleet.models import OperationKind, OperationStatus, Pool
from apps.fleet.proposed import Proposed
from apps.fleet.queued_syncs import AffectedSyncs
from apps.fleet.status_badges import Badge

# Effects that change nothing on the machine, or that the pool's policy has: too much for a summary in one line.
NOT_SUMMARISED = (*KEPT, Effect.FOLLOWS)


class EffectLine(NamedTuple):
    """One effect: on `number` machines. `packages` are (name, number of machines) pairs, the most frequent first."""

    effect: Effect
    badge: Badge
    number: int
    machines: NameList
    packages: NameList
    address: str


def preview_url(pool: Pool, what: Proposed, effect: Effect | None = None) -> str:
    """The page that lists the machines of one effect; without an effect, the page of the whole forecast."""
    query = {"of": what.of} | ({"machines": effect.value} if effect else {})
    return f"{reverse('preview', args=[pool.name])}?{urlencode(query)}"


def forecast_table(pool: Pool, what: Proposed, found: Forecast) -> dict[str, Any]:
    """`forecast` of `targets/forecast.html`: the effects that occur, and the sentences above them."""
    return {
        "lines": [_line(pool, what, found, effect) for effect in EFFECT_BADGES if found.machines[effect]],
        "total": found.total,
        "changing": found.count(Effect.CHANGES),
        "cannot": sum(map(found.count, CANNOT)),
        "what": what.label,
        "follow": _follow(pool, found),
        "queued_syncs": queued_syncs_notice(pool, found.left),
    }


def effect_summary(counts: Mapping[Effect, int]) -> list[tuple[Badge, int]]:
    """The effects that matter before a click, each with the number of machines. `counts` is by effect."""
    return [
        (badge, counts[effect])
        for effect, badge in EFFECT_BADGES.items()
        if counts.get(effect) and effect not in NOT_SUMMARISED
    ]


def queued_syncs_notice(pool: Pool, left: AffectedSyncs) -> dict[str, Any]:
    """`queued` of `targets/queued_syncs.html`: the syncs that a change of the target cancels, and those that stay."""
    query = urlencode({"pool": pool.name, "status": OperationStatus.QUEUED.value, "kind": OperationKind.SYNC.value})
    return {
        "cancelled": {"number": len(left.cancelled), "names": shorten(left.cancelled)},
        "staying": {"number": len(left.staying), "names": shorten(left.staying)},
        "address": f"{reverse('operations')}?{query}",
    }


def _follow(pool: Pool, found: Forecast) -> str:
    """Which machines automatic sync changes once this is the target."""
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
    return f"{which} {changing} that change will follow automatically"


def _line(pool: Pool, what: Proposed, found: Forecast, effect: Effect) -> EffectLine:
    packages = sorted(found.packages[effect].items(), key=lambda one: (-one[1], one[0]))
    return EffectLine(
        effect=effect,
        badge=EFFECT_BADGES[effect],
        number=found.count(effect),
        machines=shorten(found.machines[effect]),
        packages=shorten(packages),
        address=preview_url(pool, what, effect),
    )
