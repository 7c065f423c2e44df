"""This instance's row in the registry: heartbeat, removal, pruning of others. It must not know who reads it.

A database that is down costs a logged warning; the next heartbeat writes the row again.
"""

import logging
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db.models.functions import Now

from apps.lifecycle import board, dbpool, instance, loops, memory, phase, serving, write_trial, writes
from apps.lifecycle.models import Instance
from apps.lifecycle.phase import Phase

logger = logging.getLogger(__name__)

HEARTBEAT = "heartbeat"
COMMIT_SECONDS = 3.0  # after which a heartbeat's COMMIT is given up
# SQLSTATE of a table or column that isn't there: migrations are pending, which has a check of its own.
MISSING = frozenset({"42P01", "42703"})


@dataclass
class _Last:
    phase: Phase | None = None
    refusals: int = 0  # heartbeats in a row, for an unknown reason


_last = _Last()


def beat() -> None:
    """Write this instance's row, and note whether the database takes writes: this one is due anyway."""
    since = writes.doubted_at()
    try:
        with dbpool.commits_within(COMMIT_SECONDS):
            _write_row()
            if writes.unsettled():
                write_trial.run()
    except write_trial.Refused as refusal:
        writes.failed(refusal.problem, refusal)
    except AnyDatabaseError as error:
        problem = writes.problem_of(error) or _unknown_reason(error)
        if problem:
            writes.failed(problem, error)
        raise
    else:
        _last.refusals = 0
        writes.succeeded(since)


def _unknown_reason(error: AnyDatabaseError) -> str:
    """What refuses two heartbeats in a row refuses other writes, too. The second one comes within a second."""
    if dbpool.is_unavailable(error) or dbpool.sqlstate(error) in MISSING:
        return ""
    _last.refusals += 1
    if _last.refusals > 1:
        return writes.REFUSED
    writes.doubt()
    return ""


def try_to_write() -> None:
    """For a process that serves nothing: note whether the database would take a write."""
    try:
        write_trial.run()
    except (write_trial.Refused, AnyDatabaseError) as error:
        problem = getattr(error, "problem", "") or writes.problem_of(error)
        if problem:
            writes.failed(problem, error)


def _write_row() -> None:
    """The row with the database's time, made if it isn't there."""
    present = board.snapshot()
    _last.phase = present.phase
    numbers = asdict(present.dbpool) if present.dbpool else {}
    values: dict[str, Any] = {"phase": present.phase.value, "workers": len(present.workers), "dbpool": numbers}
    if Instance.objects.filter(id=instance.identity()).update(heartbeat=Now(), **values):
        return
    if present.phase is Phase.STOPPING:
        return  # the worker that went last has removed it
    # A lost row of the same name is this instance before it was killed: it has come back.
    Instance.objects.filter(name=instance.name()).lost().delete()
    Instance.objects.create(id=instance.identity(), name=instance.name(), version=settings.VERSION, **values)
    logger.info("instance %s registered as %s", instance.name(), instance.identity())


def tick() -> None:
    """Every second in each worker: show the dbpool's numbers, and have the heart beat without delay when the phase has
    changed, or when there is a doubt whether the database takes writes."""
    dbpool.give_back()
    dbpool.publish()
    writes.tick()
    if (_last.phase not in (None, phase.current()) or writes.unsettled()) and memory.leads():
        loops.wake(HEARTBEAT)


def remove() -> None:
    """Delete the row, when the whole instance ends and this is the last worker to go.

    One that hasn't begun to serve doesn't count: it ends without any cleanup.
    """
    if not serving.active() or phase.current() is not Phase.STOPPING:
        return
    if all(slot.leaving or not slot.ready for slot in memory.current().live()):
        Instance.objects.filter(id=instance.identity()).delete()


def prune() -> int:
    """Forget instances that have been lost for a day; how many."""
    count, _ = Instance.objects.forgotten().delete()
    return count
