"""What in the fleet needs somebody's attention, worst first, and how every pool is. It knows no HTTP.

The first page, `GET /fleet` and `manage.py fleet` say what this says. docs/fleet.md has the kinds.
"""

from dataclasses import replace

from .attention_items import Item, Kind, Severity, listed
from .findings import POOLS_APART, find
from .plural import counted
from .pool_rows import PoolRow, Running, pools_overview
from .survey import Survey

__all__ = ["SHOWN", "Item", "Kind", "PoolRow", "Running", "Severity", "Survey", "needs_attention", "pools_overview"]

SHOWN = 10
# What is said of many endpoints in many pools, after how many they are.
_OF_MANY = {
    Kind.DIVERGED: "have diverged from their pool's target: they are neither behind it nor ahead of it.",
    Kind.FILES_DIFFER: "have files that differ from their packages.",
    Kind.DATABASES_UNREADABLE: "can't read a sync database, so no sync starts there.",
    Kind.OTHER_ARCHITECTURE: "can't have their pool's target: it is for another architecture.",
    Kind.RESTING: "are left alone by automatic sync: the last operation to the target failed, or was cancelled, lost "
    "or taken back.",
    Kind.OFFLINE: "have not been heard of for more than three poll intervals.",
}
_FAILURES = {Kind.FAILED: "failed", Kind.LOST: "were lost"}
_ORDER = {kind: place for place, kind in enumerate(Kind)}


def needs_attention(limit: int | None = SHOWN, *, survey: Survey | None = None) -> list[Item]:
    """The worst `limit` items (None: all), worst first. A bounded number of queries."""
    found = find(survey or Survey())
    items = [item for kind in Kind for item in _together([one for one in found if one.kind == kind])]
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
    """How many endpoints in how many pools it is; empty for what is said of pools."""
    first, total = items[0], sum(item.count for item in items)
    named = len({item.pool for item in items} - {None})
    where = f"in {counted(named, 'pool')}{' and in no pool' if any(item.pool is None for item in items) else ''}"
    if first.kind in _FAILURES:
        cause = f"in {first.pool or 'no pool'}: {first.cause}"
        return f"{counted(total, 'operation')} {_FAILURES[first.kind]} {where}; {cause}"
    return f"{counted(total, 'endpoint')} {where} {_OF_MANY[first.kind]}" if first.kind in _OF_MANY else ""
