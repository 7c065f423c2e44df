"""Figures of the fleet and of its servers, read in the background and shared with the other workers.

Whoever shows them waits for no database, and asking often costs nothing. They are of one moment, `at`.
"""

import time
import uuid
from typing import Any

from django.db.models import Count
from django.db.models.functions import Now

from apps.fleet import examination, pool_alarms, status
from apps.fleet.models import ChecksumConflict, Operation, Pool
from apps.fleet.models.operations import OperationStatus
from apps.health import notes
from apps.health.checks import bounded_connection
from apps.lifecycle.models import Instance

INTERVAL = 30.0
"""Seconds between two reads, by the leading worker of each instance."""
INSTANCES_INTERVAL = 5.0
MAX_INSTANCES = 100
EXPIRES = 120.0
"""Seconds after which figures are not shown any more: the database cannot be read."""


def refresh() -> None:
    """Read the figures and leave them for every worker. Raises DatabaseError. A step of a lifecycle loop."""
    with bounded_connection():
        differ = examination.count_files_differ()
        endpoints = {str(name): number for name, number in status.counts().items()}
        alarms = {"pool_alarms": pool_alarms.counts(), "checksum_conflicts": ChecksumConflict.objects.count()}
        figures = {"pools": Pool.objects.count(), "operations": operations(), "endpoints": endpoints, **alarms}
        figures["endpoints_files_differ"] = differ
    notes.leave("figures", figures)


def refresh_instances() -> None:
    """The same for the registry of instances: one row for each, this one among them."""
    with bounded_connection():
        lost = set(Instance.objects.lost().values_list("id", flat=True))
        rows = [
            _instance(row, lost) for row in Instance.objects.annotate(now=Now()).order_by("started")[:MAX_INSTANCES]
        ]
    notes.leave("instances", {"instances": rows})


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


def latest(section: str = "figures") -> dict[str, Any] | None:
    """The newest figures (or `instances`) of any worker; None when there are none, or only old ones."""
    found = next(iter(notes.read(section)), None)
    return found if found and found["at"] > time.time() - EXPIRES else None
