"""Where what needs attention leads to, and a pool's line as a bar. It must not decide what is wrong."""

from typing import NamedTuple
from urllib.parse import urlencode

from django.urls import reverse

from apps.dashboard.reading import by_look
from apps.fleet.attention import Item, Kind, PoolRow
from apps.fleet.status import Status

# What shows all endpoints of an item that is about more than one.
_FILTERS = {
    Kind.FAILED: {"last_result": "failed"},
    Kind.LOST: {"last_result": "lost"},
    Kind.DIVERGED: {"status": "diverged"},
    Kind.OFFLINE: {"status": "offline"},
    Kind.FILES_DIFFER: {"files_differ": "true"},
    Kind.RESTING: {"resting": "true"},
    Kind.DATABASES_UNREADABLE: {"status": "unknown"},
    Kind.OTHER_ARCHITECTURE: {"status": "unknown"},
}
# A pool with one of these has something wrong with it.
_TROUBLE = (Status.DIVERGED, Status.OFFLINE)


class Segment(NamedTuple):
    """A part of a bar: a name in look.STATUSES, how many, and its place in hundredths of the bar's width."""

    status: str
    number: int
    start: float
    width: float


def address_of(item: Item) -> str:
    """The page where somebody goes on: one thing's own page, or the list of all that it is about."""
    if item.operation is not None:
        return reverse("operation", args=[item.operation])
    if item.endpoint is not None:
        return reverse("endpoint", args=[item.endpoint])
    if item.kind == Kind.CHECKSUMS:
        return reverse("checksums")
    if item.kind in _FILTERS:
        pool = {"pool": item.pool} if item.pool else {}
        return f"{reverse('endpoints')}?{urlencode(pool | _FILTERS[item.kind])}"
    if item.pool is not None:
        return reverse("pool", args=[item.pool])
    return f"{reverse('overview')}?pools=attention"


def is_in_trouble(row: PoolRow) -> bool:
    """Whether anything in the pool is worth a look."""
    return bool(row.alarms or row.failed or row.files_differ or any(row.counts.get(name) for name in _TROUBLE))


def segments(row: PoolRow) -> list[Segment]:
    """The statuses that there are, in the order in which they are shown, over the whole width."""
    found, start = [], 0.0
    for name, count in reversed(by_look(row.counts, row.files_differ).items()):
        if count:
            width = 100 * count / row.endpoints
            found.append(Segment(name, count, round(start, 2), round(width, 2)))
            start += width
    return found
