"""The page that an attention item links to, and the bar of a pool's row. It must not decide what is wrong."""

from typing import NamedTuple
from urllib.parse import urlencode

from django.urls import reverse

from apps.dashboard.presentation.endpoint_rows import split_in_sync
from apps.fleet.attention import AttentionKind, Item, PoolRow
from apps.fleet.status import EndpointStatus

# The filter that lists all endpoints of an item that is about more than one.
_FILTERS = {
    AttentionKind.FAILED: {"last_result": "failed"},
    AttentionKind.LOST: {"last_result": "lost"},
    AttentionKind.DIVERGED: {"status": "diverged"},
    AttentionKind.OFFLINE: {"status": "offline"},
    AttentionKind.FILES_DIFFER: {"files_differ": "true"},
    AttentionKind.SHARED: {"token_shared": "true"},
    AttentionKind.AWAITS_APPROVAL: {"awaits_approval": "true"},
    AttentionKind.RESTING: {"resting": "true"},
    AttentionKind.DATABASES_UNREADABLE: {"status": "unknown"},
    AttentionKind.OTHER_ARCHITECTURE: {"status": "unknown"},
}
_PROBLEMS = (EndpointStatus.DIVERGED, EndpointStatus.OFFLINE)


class BarPart(NamedTuple):
    """One status in a bar: how many endpoints, and the part's place in hundredths of the bar's width."""

    status: str
    number: int
    start: float
    width: float


def attention_url(item: Item) -> str:
    """The page of the operation, endpoint or pool that the item is about, or the list of all that it is about."""
    if item.operation is not None:
        return reverse("operation", args=[item.operation])
    if item.endpoint is not None:
        return reverse("endpoint", args=[item.endpoint])
    if item.kind == AttentionKind.CHECKSUMS:
        return reverse("checksums")
    if item.kind == AttentionKind.TOKENS_EXPIRE:
        return reverse("api_tokens")
    if item.kind in _FILTERS:
        pool = {"pool": item.pool} if item.pool else {}
        return f"{reverse('endpoints')}?{urlencode(pool | _FILTERS[item.kind])}"
    if item.pool is not None:
        return reverse("pool", args=[item.pool])
    return f"{reverse('overview')}?pools=attention"


def has_problems(row: PoolRow) -> bool:
    """Whether the pool has an alarm, a failed operation, files that differ, or an endpoint that is off or diverged."""
    return bool(row.alarms or row.failed or row.files_differ or any(row.counts.get(name) for name in _PROBLEMS))


def bar_parts(row: PoolRow) -> list[BarPart]:
    """The statuses of the pool's endpoints over the whole width of the bar, best first."""
    found, start = [], 0.0
    for name, count in reversed(split_in_sync(row.counts, row.files_differ).items()):
        if count:
            width = 100 * count / row.endpoints
            found.append(BarPart(name, count, round(start, 2), round(width, 2)))
            start += width
    return found
