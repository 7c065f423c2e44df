"""Whether the database takes writes, as those that were due anyway have found; shared by the workers of the instance.

A request whose write was refused only raises a doubt. The instance's heartbeat, which is a write, then settles it
within a second, and tries again each second until it succeeds (registry.py). It must not know who shows the result.
"""

import logging
import time
from collections.abc import Callable

from django.db import Error as AnyDatabaseError

from apps.lifecycle import memory
from apps.lifecycle.dbpool import OutcomeUnknown

logger = logging.getLogger(__name__)

DISK_FULL, IDS_USED_UP, NO_RIGHT = "disk_full", "transaction_ids_used_up", "no_right"
INPUT_OUTPUT, READ_ONLY, COMMIT_TIMED_OUT = "input_output_error", "read_only", "commit_timed_out"
REFUSED = "refused"  # for a reason that none of the others names, such as a trigger's
PROBLEMS = ("", DISK_FULL, IDS_USED_UP, NO_RIGHT, INPUT_OUTPUT, READ_ONLY, COMMIT_TIMED_OUT, REFUSED)

# SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html. 25006 is not among them: it means a session
# on what has become a standby, which the dbpool deals with.
SQLSTATES = {"53100": DISK_FULL, "54000": IDS_USED_UP, "42501": NO_RIGHT, "58030": INPUT_OUTPUT, "58P01": INPUT_OUTPUT}
IDS_FUNCTIONS = frozenset({"GetNewTransactionId", "GetNewMultiXactId"})  # varsup.c, multixact.c
# SQLite's primary result codes: https://www.sqlite.org/rescode.html
SQLITE_CODES = {13: DISK_FULL, 8: READ_ONLY, 10: INPUT_OUTPUT}

_observers: list[Callable[[], None]] = []
_seen = ""


def problem_of(error: BaseException) -> str:
    """Why the database refused this write; empty when it is another kind of error."""
    if isinstance(error, OutcomeUnknown):
        return COMMIT_TIMED_OUT if error.timed_out else ""
    if not isinstance(error, AnyDatabaseError):
        return ""
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None)
    if state == "54000" and _raised_in(cause) not in IDS_FUNCTIONS:  # another limit, as that of an index's row
        return ""
    code = getattr(cause, "sqlite_errorcode", None)
    return SQLSTATES.get(state or "", "") or SQLITE_CODES.get((code or 0) & 0xFF, "")


def _raised_in(cause: BaseException | None) -> str:
    """The function of PostgreSQL that raised it; its text is translated."""
    return getattr(getattr(cause, "diag", None), "source_function", None) or ""


def suspect(error: BaseException) -> None:
    """Raise a doubt if this error is a write's that was refused."""
    if problem_of(error):
        doubt()


def doubt() -> None:
    """Have the heartbeat find out. Any worker may say so, and often: the last one counts."""
    memory.current().floats[memory.WRITES_DOUBTED_AT] = time.monotonic()


def doubted_at() -> float:
    """When somebody last had a doubt that isn't settled, on the monotonic clock; 0 for none."""
    return float(memory.current().floats[memory.WRITES_DOUBTED_AT])


def unsettled() -> bool:
    """Whether the next heartbeat is wanted now."""
    return bool(doubted_at() or problem())


def problem() -> str:
    """One of PROBLEMS: why the database takes no writes; empty when it does. Reads memory only."""
    return PROBLEMS[memory.current().integers[memory.WRITES_PROBLEM]]


def failed(found: str, error: BaseException | None = None) -> None:
    """A write that was due was refused, for this reason."""
    if problem() != found:
        logger.error("the database takes no writes (%s): %s", found, " ".join(str(error or "").split()))
    memory.current().integers[memory.WRITES_PROBLEM] = PROBLEMS.index(found)


def succeeded(since: float) -> None:
    """A write that was due has succeeded, which settles the doubts up to the one of `since`."""
    board = memory.current()
    if problem():
        logger.info("the database takes writes again")
    board.integers[memory.WRITES_PROBLEM] = 0
    if board.floats[memory.WRITES_DOUBTED_AT] == since:
        board.floats[memory.WRITES_DOUBTED_AT] = 0.0


def observe(changed: Callable[[], None]) -> None:
    """Have `changed` called in each worker within a second of a change of `problem()`."""
    if changed not in _observers:
        _observers.append(changed)


def tick() -> None:
    """Every second in each worker: tell the observers of a change, whichever worker has seen it."""
    global _seen
    present = problem()
    if present != _seen:
        _seen = present
        for changed in _observers:
            changed()
