"""What in the fleet needs somebody's attention, worst first, and how every pool is. It knows no HTTP.

The first page, `GET /fleet` and `manage.py fleet` say what this says. docs/fleet.md has the kinds.
"""

from dataclasses import replace

from .attention_items import Item, Kind, Severity, listed
from .findings import POOLS_APART, find
from .pool_rows import PoolRow, Running, pools_overview
from .survey import Survey

__all__ = ["SHOWN", "Item", "Kind", "PoolRow", "Running", "Severity", "Survey", "needs_attention", "pools_overview"]

SHOWN = 10
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
    cause = f"{items[0].cause} The same in {listed([item.pool or 'no pool' for item in items[1:]])}."
    one = replace(items[0], object="fleet", cause=cause, since=min(begins, default=None), count=total)
    return [replace(one, pool=None, endpoint=None, operation=None)]
