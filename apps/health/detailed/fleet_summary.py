"""Counts of the fleet, and the instances, read in the background and shared with the other workers.

Showing them needs no database. `at` (Unix seconds) is when they were read. It must not know how they are shown.
"""

import time
import uuid
from typing import Any

from django.db.models import Count
from django.db.models.functions import Now

from apps.fleet import after_sync, approval, examination, fleet_statuses, last_results, pool_alarms, shared_tokens
from apps.fleet.models import ChecksumConflict, Endpoint, Operation, Pool
from apps.fleet.models.operations import OperationStatus
from apps.health.checking import worker_reports
from apps.health.checks.bounded_connection import bounded_connection
from apps.lifecycle.models import Instance
from apps.vulnerabilities import selection, tracker_list

INTERVAL = 30.0
"""Seconds between two reads, by the leading worker of each instance."""
INSTANCES_INTERVAL = 5.0
MAX_INSTANCES = 100
"""The oldest ones, by their start; later ones are not shown."""
EXPIRES = 120.0
"""Seconds after which they are no longer shown: the database can't be read."""


def refresh() -> None:
    """Read the counts and report them to every worker. Raises DatabaseError. A step of a lifecycle loop."""
    with bounded_connection():
        endpoints = {str(name): number for name, number in fleet_statuses.counts().items()}
        alarms = {"pool_alarms": pool_alarms.counts(), "checksum_conflicts": ChecksumConflict.objects.count()}
        counts = {"pools": Pool.objects.count(), "operations": operations(), "endpoints": endpoints, **alarms}
        counts["endpoints_files_differ"] = examination.count_files_differ()
        counts["endpoints_after_sync"] = after_sync.counts(Endpoint.objects.all())
        counts["endpoints_token_shared"] = Endpoint.objects.filter(shared_tokens.SHARED).count()
        counts["endpoints_awaiting_approval"] = Endpoint.objects.filter(approval.AWAITING).count()
        counts["endpoints_unhealthy"] = last_results.count_unhealthy()
        if tracker_list.is_enabled():
            counts["vulnerabilities"] = _vulnerabilities()
    worker_reports.write("fleet", counts)


def _vulnerabilities() -> dict[str, Any]:
    """Endpoints by their worst severity; times of the list in Unix seconds, None for what there is none of."""
    found = selection.summary()
    known = found.list
    return {
        "endpoints": found.endpoints,
        "list_as_of": known.as_of and known.as_of.timestamp(),
        "failed": known.failed and known.failed.timestamp(),
        "failing": known.is_failing,
    }


def refresh_instances() -> None:
    """The same for the registry of instances: one row for each, including this one, up to MAX_INSTANCES."""
    with bounded_connection():
        lost = set(Instance.objects.lost().values_list("id", flat=True))
        oldest = Instance.objects.annotate(now=Now()).order_by("started")[:MAX_INSTANCES]
        rows = [_instance(row, lost) for row in oldest]
    worker_reports.write("instances", {"instances": rows})


def _instance(row: Any, lost: set[uuid.UUID]) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "name": row.name,
        "version": row.version,
        "phase": row.phase,
        "lost": row.id in lost,
        "workers": row.workers,
        "started": row.started.timestamp(),
        "heartbeat_age": (row.now - row.heartbeat).total_seconds(),
        "dbpool": {name: row.dbpool[name] for name in ("size", "max_size") if name in row.dbpool},
    }


def operations() -> dict[str, int]:
    counted = dict(Operation.objects.order_by().values_list("status").annotate(number=Count("*")))
    return {str(known): counted.get(str(known), 0) for known in OperationStatus}


def latest(section: str = "fleet") -> dict[str, Any] | None:
    """The newest counts (or `instances`) of any worker; None if there are none, or only old ones."""
    found = next(iter(worker_reports.read(section)), None)
    return found if found and found["at"] > time.time() - EXPIRES else None
