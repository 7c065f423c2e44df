"""Many endpoints as the rows of a table, in a number of queries that doesn't grow with them. It holds no rule."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from apps.fleet import examination, fleet_statuses, last_results, status
from apps.fleet.consistent_read import consistent_read
from apps.fleet.last_results import LastResult
from apps.fleet.models import Endpoint, Operation, Pool
from apps.fleet.models.operations import FILES_DIFFER, UNHEALTHY, WENT_WRONG
from apps.fleet.reported_problem import Reported
from apps.fleet.status_badges import ENDPOINT_BADGES

POOLS_OFFERED = 200
# What `rows` needs of an endpoint.
FIELDS = ("name", "token_shared", "awaits_approval", *status.FIELDS)
_OPERATION_FIELDS = ("endpoint_id", "kind", "status", "progress")


@dataclass(frozen=True, kw_only=True)
class EndpointRow:
    """One endpoint as a row of a table. `badge` is a name in ENDPOINT_BADGES."""

    endpoint: Endpoint
    badge: str
    counts: Mapping[str, int] | None
    operation: Operation | None
    last: Operation | LastResult | None = None

    @property
    def status(self) -> str:
        """The status that the API gives it."""
        return status.EndpointStatus.IN_SYNC if self.badge == FILES_DIFFER else self.badge

    @property
    def went_wrong(self) -> bool:
        """Whether its newest operation failed or was lost, and it isn't in sync, or is unhealthy, since then."""
        if self.operation or self.last is None or self.last.status not in WENT_WRONG:
            return False
        last = last_results.short_of(self.last) if isinstance(self.last, Operation) else self.last
        unhealthy = last.code in UNHEALTHY and examination.is_unhealthy(self.endpoint)
        return unhealthy or self.status != status.EndpointStatus.IN_SYNC


def row_of(endpoint: Endpoint) -> EndpointRow:
    """An endpoint with its badge, counts of its difference, active operation and last finished one."""
    active = Operation.objects.active().filter(endpoint=endpoint).defer("result", "foreign")
    return _rows([endpoint], active, last_results.of([endpoint.pk]))[0]


def rows(endpoints: Iterable[Endpoint]) -> list[EndpointRow]:
    """The same of many. Of the operations, only what a table shows is read, and of the endpoints FIELDS are needed."""
    endpoints = list(endpoints)
    active = Operation.objects.active().filter(endpoint__in=endpoints).only(*_OPERATION_FIELDS)
    return _rows(endpoints, active, last_results.short([endpoint.pk for endpoint in endpoints]))


def _rows(
    endpoints: list[Endpoint], operations: Iterable[Operation], last: Mapping[int, Operation | LastResult]
) -> list[EndpointRow]:
    statuses, counts = status.of_with_differences(endpoints)
    badges = _badges(endpoints, statuses)
    active = {operation.endpoint_id: operation for operation in operations}
    return [
        EndpointRow(
            endpoint=endpoint,
            badge=badges[endpoint.pk],
            counts=counts.get(endpoint.pk),
            operation=active.get(endpoint.pk),
            last=last.get(endpoint.pk),
        )
        for endpoint in endpoints
    ]


def _badges(endpoints: Collection[Endpoint], known: Mapping[int, status.EndpointStatus]) -> dict[int, str]:
    """The name in ENDPOINT_BADGES of each: its status, or `files_differ` for one that is in sync."""
    differ = {
        one.pk for one in endpoints if known[one.pk] == status.EndpointStatus.IN_SYNC and examination.files_differ(one)
    }
    return {pk: FILES_DIFFER if pk in differ else str(name) for pk, name in known.items()}


def with_badge(endpoints: QuerySet[Endpoint], name: str) -> QuerySet[Endpoint]:
    """Those of the endpoints that have this badge of ENDPOINT_BADGES now."""
    if name not in (FILES_DIFFER, status.EndpointStatus.IN_SYNC):
        return fleet_statuses.with_status(endpoints, status.EndpointStatus(name))
    differ = Q(Reported(FILES_DIFFER))
    if name == FILES_DIFFER:  # few, so these first
        return fleet_statuses.with_status(endpoints.filter(differ), status.EndpointStatus.IN_SYNC)
    return fleet_statuses.with_status(endpoints, status.EndpointStatus.IN_SYNC).filter(~differ)


def count_of_pool(pool: Pool) -> dict[str, int]:
    """How many endpoints of the pool have each badge, in the order of ENDPOINT_BADGES, zeros included."""
    found, differ = Counter[str](), 0
    with consistent_read():
        groups = fleet_statuses.groups(pool.pk)
    for group in groups:
        found[group.status] += group.count
        differ += group.count if group.files_differ and group.status == status.EndpointStatus.IN_SYNC else 0
    return split_in_sync(found, differ)


def count_badges(badges: Iterable[str]) -> dict[str, int]:
    """How many there are of each badge, in the order of ENDPOINT_BADGES, zeros included."""
    found = Counter(badges)
    return {name: found[name] for name in ENDPOINT_BADGES}


def split_in_sync(counts: Mapping[Any, int], files_differ: int) -> dict[str, int]:
    """Counts by status as counts by badge: endpoints in sync whose files differ are counted apart."""
    apart = {
        FILES_DIFFER: files_differ,
        status.EndpointStatus.IN_SYNC: counts.get(status.EndpointStatus.IN_SYNC, 0) - files_differ,
    }
    return {name: apart[name] if name in apart else counts.get(name, 0) for name in ENDPOINT_BADGES}


def pool_names() -> list[str]:
    """The names that a field for a pool offers while somebody types: the first POOLS_OFFERED."""
    return list(Pool.objects.order_by("name").values_list("name", flat=True)[:POOLS_OFFERED])
