"""What in the fleet needs somebody's attention, worst first, and how every pool is. It knows no HTTP.

The first page, `GET /fleet` and `manage.py fleet` say what this says. docs/fleet.md has the kinds.
"""

from dataclasses import replace

from .attention_items import AttentionKind, Item, Severity
from .findings import POOLS_APART, find
from .fleet_survey import Survey
from .plural import counted, listed
from .pool_rows import PoolRow, Running, pools_overview

__all__ = [
    "SHOWN",
    "AttentionKind",
    "Item",
    "PoolRow",
    "Running",
    "Severity",
    "Survey",
    "needs_attention",
    "pools_overview",
]

SHOWN = 10
# What an item about endpoints of many pools says after their number.
_OF_MANY = {
    AttentionKind.DIVERGED: "have diverged from their pool's target: they are neither behind it nor ahead of it.",
    AttentionKind.SHARED: "have a token that more than one machine reports with. No operation starts there.",
    AttentionKind.AWAITS_APPROVAL: "have enrolled and wait for an operator's approval.",
    AttentionKind.FILES_DIFFER: "have files that differ from their packages.",
    AttentionKind.DATABASES_UNREADABLE: "can't read a sync database, so no sync starts there.",
    AttentionKind.OTHER_ARCHITECTURE: "can't have their pool's target: it is for another architecture.",
    AttentionKind.RESTING: "are left alone by automatic sync: the last operation to the target failed, or was "
    "cancelled, lost or reverted.",
    AttentionKind.OFFLINE: "have not been heard from for more than three poll intervals.",
}
_FAILURES = {AttentionKind.FAILED: "failed", AttentionKind.LOST: "were lost"}
_ORDER = {kind: place for place, kind in enumerate(AttentionKind)}


def needs_attention(limit: int | None = SHOWN, *, survey: Survey | None = None) -> list[Item]:
    """The worst `limit` items (None: all), worst first. A bounded number of queries."""
    found = find(survey or Survey())
    items = [item for kind in AttentionKind for item in _together([one for one in found if one.kind == kind])]
    items.sort(key=lambda item: (_ORDER[item.kind], -item.count, item.object))
    return items[:limit]


def _together(items: list[Item]) -> list[Item]:
    """Items of one kind: as they are, or one for the fleet where many pools have it."""
    if len(items) <= POOLS_APART:
        return items
    total, begins = sum(item.count for item in items), [item.since for item in items if item.since]
    items = sorted(items, key=lambda item: (-item.count, item.object))
    cause = _of_all(items) or f"{items[0].cause} The same in {listed([item.pool or 'no pool' for item in items[1:]])}."
    one = replace(items[0], object="fleet", cause=cause, since=min(begins, default=None), count=total)
    return [replace(one, pool=None, endpoint=None, operation=None)]


def _of_all(items: list[Item]) -> str:
    """The cause of an item about endpoints of many pools; empty for items about pools."""
    first, total = items[0], sum(item.count for item in items)
    named = len({item.pool for item in items} - {None})
    where = f"in {counted(named, 'pool')}{' and in no pool' if any(item.pool is None for item in items) else ''}"
    if first.kind in _FAILURES:
        cause = f"in {first.pool or 'no pool'}: {first.cause}"
        return f"{counted(total, 'operation')} {_FAILURES[first.kind]} {where}; {cause}"
    return f"{counted(total, 'endpoint')} {where} {_OF_MANY[first.kind]}" if first.kind in _OF_MANY else ""
