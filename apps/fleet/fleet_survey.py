"""The whole fleet read once: its pools, endpoints in groups, failures. It writes nothing, and knows no HTTP.

The database counts the endpoints of each pool and status: 10,000 machines are some dozen groups. It must not know
what needs somebody's attention.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import NamedTuple
from uuid import UUID

from django.db.models import Exists, OuterRef

from . import examination, fleet_statuses, pool_alarms, status, sync_policy
from . import paused_automatic_sync as resting
from .consistent_read import consistent_read
from .difference import ChangeKind
from .fleet_statuses import Group
from .key_lists import IsAmong, text_of
from .models import Endpoint, Operation, OperationKind, Pool
from .models.operations import UNHEALTHY, WENT_WRONG
from .paused_automatic_sync import Resting
from .pool_alarms import PoolAlarm
from .status import EndpointStatus


class Failure(NamedTuple):
    """An endpoint whose newest operation failed or was lost, and that isn't where it should have come to.

    Or it is there, and has been unhealthy since.
    """

    endpoint: int
    name: str
    pool: int | None
    kind: str
    status: str
    operation: UUID
    finished: datetime
    code: str
    message: str


class Rest(NamedTuple):
    """An endpoint that automatic sync leaves alone although it isn't in sync; `endpoint` is its primary key."""

    endpoint: int
    name: str
    pool: int
    resting: Resting


class Survey:
    """What is asked for is read when it is first asked for, and only once."""

    @cached_property
    def pools(self) -> dict[int, Pool]:
        """Every pool with its target, by primary key, in the order of the names."""
        found = Pool.objects.select_related("target").defer("target__unmanaged", "target__repositories")
        return {pool.pk: pool for pool in found.order_by("name")}

    @cached_property
    def alarms(self) -> dict[int, list[PoolAlarm]]:
        """The alarms of each pool, by primary key."""
        return pool_alarms.of(self.pools.values())

    @cached_property
    def groups(self) -> list[Group]:
        """Every endpoint is in exactly one of these."""
        with consistent_read():
            return fleet_statuses.groups()

    @cached_property
    def counts(self) -> dict[EndpointStatus, int]:
        """How many endpoints have each status, including statuses with no endpoint."""
        found = Counter[EndpointStatus]()
        for counts in self._by_pool.values():
            found.update(counts)
        return {name: found[name] for name in EndpointStatus}

    def counts_of(self, pool: int | None) -> dict[EndpointStatus, int]:
        """The same of one pool (a primary key; None: in none)."""
        found = self._by_pool.get(pool, Counter())
        return {name: found[name] for name in EndpointStatus}

    @cached_property
    def files_differ(self) -> int:
        """How many endpoints are in sync and reported files that differ from their packages."""
        return sum(self._differing.values())

    def files_differ_of(self, pool: int | None) -> int:
        """The same of one pool (a primary key; None: in none)."""
        return self._differing[pool]

    @cached_property
    def _differing(self) -> Counter[int | None]:
        found = Counter[int | None]()
        for group in self.groups:
            if group.status == EndpointStatus.IN_SYNC and group.files_differ:
                found[group.pool] += group.count
        return found

    @cached_property
    def _by_pool(self) -> dict[int | None, Counter[EndpointStatus]]:
        found: dict[int | None, Counter[EndpointStatus]] = defaultdict(Counter)
        for group in self.groups:
            found[group.pool][group.status] += group.count
        return found

    @cached_property
    def failures(self) -> list[Failure]:
        """Newest first."""
        operations = Operation.objects.filter(status__in=WENT_WRONG).newest().order_by("-finished")
        fields = ("endpoint", "kind", "status", "pk", "finished", "result__code", "result__message", "target_state")
        rows = list(operations.values_list(*fields))
        concerned = Endpoint.objects.filter(IsAmong(text_of(row[0] for row in rows)))
        endpoints = {row.pk: row for row in concerned.only("name", *status.FIELDS)}
        known = status.by_packages(endpoints.values())
        failures = []
        for pk, kind, how, operation, finished, code, message, target in rows:
            endpoint = endpoints.get(pk)
            if endpoint is None:  # it was deleted in between
                continue
            reached = endpoint.state_id == target or (
                kind == OperationKind.SYNC and known[pk] == EndpointStatus.IN_SYNC
            )
            unhealthy = code in UNHEALTHY and examination.is_unhealthy(endpoint)
            if finished and (unhealthy or not reached):
                failures.append(
                    Failure(
                        pk,
                        endpoint.name,
                        endpoint.pool_id,
                        kind,
                        how,
                        operation,
                        finished,
                        code or "",
                        message or "",
                    )
                )
        return failures

    @cached_property
    def rests(self) -> list[Rest]:
        """Where automatic sync would continue if it didn't rest.

        Not in sync, nothing under way, the pool neither paused nor waiting for an approval, and its policy allows it.
        """
        known = resting.of()
        if not known:
            return []
        active = Operation.objects.active().filter(endpoint=OuterRef("pk"))
        rows = Endpoint.objects.filter(~Exists(active), IsAmong(text_of(known)), pool__paused_since=None)
        endpoints = list(rows.only("name", *status.FIELDS))
        statuses, counts = status.by_packages_with_differences(endpoints)
        return [
            Rest(endpoint.pk, endpoint.name, endpoint.pool_id, known[endpoint.pk])
            for endpoint in endpoints
            if endpoint.pool_id
            and statuses[endpoint.pk] not in (EndpointStatus.IN_SYNC, EndpointStatus.UNKNOWN)
            and self._would_sync(self.pools.get(endpoint.pool_id), counts.get(endpoint.pk, {}))
        ]

    @staticmethod
    def _would_sync(pool: Pool | None, counts: Mapping[str, int]) -> bool:
        kinds = {ChangeKind(kind) for kind, count in counts.items() if count}
        return bool(pool and not pool.target_needs_approval and sync_policy.allows(pool.conflict_resolution, kinds))
