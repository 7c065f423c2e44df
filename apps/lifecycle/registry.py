"""This instance's row in the registry: heartbeat, removal, pruning of others. It must not know who reads it.

A database that is down costs a logged warning; the next heartbeat writes the row again.
"""

import logging
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.db.models.functions import Now

from apps.lifecycle import board, dbpool, instance, loops, memory, phase, serving
from apps.lifecycle.models import Instance
from apps.lifecycle.phase import Phase

logger = logging.getLogger(__name__)

HEARTBEAT = "heartbeat"


@dataclass
class _Last:
    phase: Phase | None = None


_last = _Last()


def beat() -> None:
    """Write the row of this instance with the database's time, making it if it isn't there."""
    present = board.snapshot()
    _last.phase = present.phase
    numbers = asdict(present.dbpool) if present.dbpool else {}
    values: dict[str, Any] = {"phase": present.phase.value, "workers": len(present.workers), "dbpool": numbers}
    if Instance.objects.filter(id=instance.identity()).update(heartbeat=Now(), **values):
        return
    # A lost row of the same name is this instance before it was killed: it has come back.
    Instance.objects.filter(name=instance.name()).lost().delete()
    Instance.objects.create(id=instance.identity(), name=instance.name(), version=settings.VERSION, **values)
    logger.info("instance %s registered as %s", instance.name(), instance.identity())


def tick() -> None:
    """Every second in each worker: show the dbpool's numbers, and report a change of the phase without delay."""
    dbpool.give_back()
    dbpool.publish()
    if _last.phase not in (None, phase.current()) and memory.leads():
        loops.wake(HEARTBEAT)


def remove() -> None:
    """Delete the row, when the whole instance ends and this is the last worker to go."""
    if not serving.active() or phase.current() is not Phase.STOPPING:
        return
    if all(slot.leaving for slot in memory.current().live()):
        Instance.objects.filter(id=instance.identity()).delete()


def prune() -> int:
    """Forget instances that have been lost for a day; how many."""
    count, _ = Instance.objects.forgotten().delete()
    return count
