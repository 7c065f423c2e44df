"""This instance's row in the registry: heartbeat, removal, pruning of others. It must not know where it is shown.

If the database is down, a warning is logged, and the next heartbeat writes the row again.
"""

import logging
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db.models.functions import Now

from apps.lifecycle.dbpool import facade, thread_limits, write_state, write_trial
from apps.lifecycle.models import Instance
from apps.lifecycle.shared_memory import instance, memory, phase, snapshots
from apps.lifecycle.shared_memory.phase import Phase
from apps.lifecycle.work import loops, serving

logger = logging.getLogger(__name__)

HEARTBEAT = "heartbeat"
COMMIT_SECONDS = 3.0  # after which a heartbeat's COMMIT is given up


@dataclass
class _State:
    phase: Phase | None = None
    refusals: int = 0  # heartbeats in a row, for an unknown reason


_state = _State()


def beat() -> None:
    """Write this instance's row, and note whether the database takes writes."""
    since = write_state.doubted_at()
    try:
        with thread_limits.commits_within(COMMIT_SECONDS):
            _write_row()
            if write_state.unsettled():
                write_trial.run()
    except write_trial.WriteRefused as refusal:
        write_state.failed(refusal.problem, refusal)
    except AnyDatabaseError as error:
        problem = write_state.problem_of(error) or _unknown_reason(error)
        if problem:
            write_state.failed(problem, error)
        raise
    else:
        _state.refusals = 0
        write_state.succeeded(since)


def _unknown_reason(error: AnyDatabaseError) -> str:
    """The problem, if this is the second refused heartbeat in a row; the second one comes within a second."""
    if facade.is_unavailable(error) or facade.is_not_migrated(error):  # another check reports that
        return ""
    _state.refusals += 1
    if _state.refusals > 1:
        return write_state.REFUSED
    write_state.doubt()
    return ""


def try_to_write() -> None:
    """Note whether the database takes writes, in a process that serves nothing and so has no heartbeat."""
    try:
        write_trial.run()
    except (write_trial.WriteRefused, AnyDatabaseError) as error:
        problem = getattr(error, "problem", "") or write_state.problem_of(error)
        if problem:
            write_state.failed(problem, error)


def _write_row() -> None:
    """Write the row with the database's time; make it if it doesn't exist."""
    current = snapshots.snapshot()
    _state.phase = current.phase
    numbers = asdict(current.dbpool) if current.dbpool else {}
    values: dict[str, Any] = {"phase": current.phase.value, "workers": len(current.workers), "dbpool": numbers}
    if Instance.objects.filter(id=instance.identity()).update(heartbeat=Now(), **values):
        return
    if current.phase is Phase.STOPPING:
        return  # the last worker to go has removed it
    # A lost row with the same name is this instance before it was killed: it has come back.
    Instance.objects.filter(name=instance.name()).lost().delete()
    Instance.objects.create(id=instance.identity(), name=instance.name(), version=settings.VERSION, **values)
    logger.info("instance %s registered as %s", instance.name(), instance.identity())


def beat_if_needed() -> None:
    """Run the heartbeat now if the phase has changed, or if it is in doubt whether the database takes writes."""
    if (_state.phase not in (None, phase.current()) or write_state.unsettled()) and memory.leads():
        loops.run_now(HEARTBEAT)


def remove() -> None:
    """Delete the row if the whole instance ends and this is the last worker to go.

    One that hasn't begun to serve doesn't count: it ends without any cleanup.
    """
    if not serving.active() or phase.current() is not Phase.STOPPING:
        return
    if all(slot.cleaning_up or not slot.ready for slot in memory.current().live()):
        Instance.objects.filter(id=instance.identity()).delete()


def prune() -> int:
    """Delete the rows of instances that have been lost for a day. Returns how many."""
    count, _ = Instance.objects.forgotten().delete()
    return count
