"""Syncing a whole pool: which of its endpoints need a sync, and queueing one for each. API and dashboard call this.

It must not know HTTP or how many endpoints one request takes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import batches, status
from .batches import BatchItem
from .exceptions import AlreadyInSync
from .models import Endpoint, Operation, Pool
from .status import EndpointStatus


@dataclass(frozen=True, kw_only=True)
class PoolMembers:
    """The endpoints of a pool: those that a sync is for (status by primary key), and how many others there are."""

    need_sync: dict[int, EndpointStatus]
    in_sync: int
    active: int

    def comparable(self) -> list[EndpointStatus]:
        """The statuses of those that need a sync, without those that can't be compared with the target."""
        return [one for one in self.need_sync.values() if one != EndpointStatus.UNKNOWN]


def members(pool: Pool) -> PoolMembers:
    """Who needs a sync, by name. Whether an endpoint is offline doesn't matter: its operation waits for it.

    An endpoint whose operation waits for its next try needs one too: the new operation replaces the waiting one. Those
    that can't be compared come last: each is refused, and they would be in the way of the others.
    """
    found = Endpoint.objects.filter(pool=pool)
    busy = Operation.objects.blocking().values("endpoint")
    idle = found.exclude(pk__in=busy).order_by("name")
    statuses = status.by_packages(idle.only(*status.FIELDS))
    need = {pk: one for pk, one in statuses.items() if one != EndpointStatus.IN_SYNC}
    return PoolMembers(
        need_sync=dict(sorted(need.items(), key=lambda item: item[1] == EndpointStatus.UNKNOWN)),
        in_sync=len(statuses) - len(need),
        active=found.filter(pk__in=busy).count(),
    )


def sync_each(endpoints: Sequence[Endpoint], *, actor: str, expected: str | None = None) -> Iterator[BatchItem]:
    """Queue a sync for each of these endpoints that isn't in sync, in their order; what became of each.

    `expected` is the key of the target revision that the person saw: a sync to another one is refused. Ends early as
    `batches.each` says; the first endpoint is always tried, so that repeating it gets on.
    """
    statuses = status.by_packages(endpoints)

    def sync(endpoint: Endpoint) -> BatchItem:
        if statuses[endpoint.pk] == EndpointStatus.IN_SYNC:
            return BatchItem(endpoint.name, AlreadyInSync.code, batches.IN_SYNC)
        return batches.sync(endpoint, actor=actor, expected=expected)

    return batches.each(((one.name, one) for one in endpoints), sync)
