"""Whether the database takes writes. The workers of an instance share what they have found out.

A request whose write was refused only raises a doubt. The heartbeat of the instance, which writes anyway, settles it
within a second, and tries again each second until it succeeds (registry.py). It must not know how the result is shown.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import Error as AnyDatabaseError

from apps.lifecycle.dbpool.facade import OutcomeUnknown
from apps.lifecycle.shared_memory import memory

logger = logging.getLogger(__name__)

DISK_FULL, IDS_USED_UP, NO_RIGHT = "disk_full", "transaction_ids_used_up", "no_right"
INPUT_OUTPUT, READ_ONLY, COMMIT_TIMED_OUT = "input_output_error", "read_only", "commit_timed_out"
REFUSED = "refused"  # for a reason that none of the others names, such as a trigger
PROBLEMS = ("", DISK_FULL, IDS_USED_UP, NO_RIGHT, INPUT_OUTPUT, READ_ONLY, COMMIT_TIMED_OUT, REFUSED)

# SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html. 25006 is not among them: it means that the
# server of the session has become a standby, and the dbpool deals with that.
SQLSTATES = {"53100": DISK_FULL, "54000": IDS_USED_UP, "42501": NO_RIGHT, "58030": INPUT_OUTPUT, "58P01": INPUT_OUTPUT}
IDS_FUNCTIONS = frozenset({"GetNewTransactionId", "GetNewMultiXactId"})  # varsup.c, multixact.c
# SQLite's primary result codes: https://www.sqlite.org/rescode.html
SQLITE_CODES = {13: DISK_FULL, 8: READ_ONLY, 10: INPUT_OUTPUT}


@dataclass
class _State:
    observers: list[Callable[[], None]] = field(default_factory=list)
    seen: str = ""  # the problem that the observers know about


_state = _State()


def problem_of(error: BaseException) -> str:
    """Why the database refused this write; empty if it is another kind of error."""
    if isinstance(error, OutcomeUnknown):
        return COMMIT_TIMED_OUT if error.timed_out else ""
    if not isinstance(error, AnyDatabaseError):
        return ""
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None)
    if state == "54000" and _raised_in(cause) not in IDS_FUNCTIONS:  # another limit, such as the size of an index row
        return ""
    code = getattr(cause, "sqlite_errorcode", None)
    return SQLSTATES.get(state or "", "") or SQLITE_CODES.get((code or 0) & 0xFF, "")


def _raised_in(cause: BaseException | None) -> str:
    """The PostgreSQL function that raised it, because the error's text is translated."""
    return getattr(getattr(cause, "diag", None), "source_function", None) or ""


def suspect(error: BaseException) -> None:
    """Raise a doubt if this error means that a write was refused."""
    if problem_of(error):
        doubt()


def doubt() -> None:
    """Have the heartbeat find out. Any worker may call this as often as it likes: the last call counts."""
    memory.current().header.writes_doubted_at = time.monotonic()


def doubted_at() -> float:
    """The monotonic time of the last doubt that isn't settled; 0 if there is none."""
    return memory.current().header.writes_doubted_at


def unsettled() -> bool:
    """Whether the next heartbeat is wanted now."""
    return bool(doubted_at() or problem())


def problem() -> str:
    """One of PROBLEMS: why the database takes no writes; empty if it does. Reads only memory."""
    return PROBLEMS[memory.current().header.writes_problem]


def failed(found: str, error: BaseException | None = None) -> None:
    """A write of the heartbeat was refused for this reason, one of PROBLEMS."""
    if problem() != found:
        logger.error("the database takes no writes (%s): %s", found, " ".join(str(error or "").split()))
    memory.current().header.writes_problem = PROBLEMS.index(found)


def succeeded(since: float) -> None:
    """A write of the heartbeat has succeeded: that settles the doubts up to the one at `since`."""
    header = memory.current().header
    if problem():
        logger.info("the database takes writes again")
    header.writes_problem = 0
    if header.writes_doubted_at == since:
        header.writes_doubted_at = 0.0


def observe(changed: Callable[[], None]) -> None:
    """Have `changed` called in each worker within a second of a change of `problem()`."""
    if changed not in _state.observers:
        _state.observers.append(changed)


def tick() -> None:
    """Every second in each worker: tell the observers of a change that any worker has found."""
    current = problem()
    if current != _state.seen:
        _state.seen = current
        for changed in _state.observers:
            changed()
