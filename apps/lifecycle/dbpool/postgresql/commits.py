"""Limits the time of a COMMIT. It must not know what is committed.

PostgreSQL has no such limit: `statement_timeout` ends before the COMMIT, and a missing synchronous standby blocks a
COMMIT forever.

One thread of the process checks the commits under way, and cancels each that is past its limit. Then PostgreSQL ends
the wait with a warning, and *has* committed, but only on this server. So nobody knows whether the commit lasts, and
OutcomeUnknown says so. If the server doesn't react to the cancel, the connection is cut. A write outside of a
transaction commits by itself, so the whole statement is watched.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import InterfaceError, OperationalError
from psycopg import Connection

from apps.lifecycle.dbpool import thread_limits, write_state
from apps.lifecycle.dbpool.facade import OutcomeUnknown
from apps.lifecycle.dbpool.postgresql import cancelling, sessions

logger = logging.getLogger(__name__)

Conn = Connection[Any]
INTERVAL = 0.2  # seconds between two checks of what is under way
SLOW = 1.0  # seconds after which a commit is a reason to doubt that the database takes writes
GRACE = 3.0  # seconds for the server to react to the cancel
WRITES = ("INSERT", "UPDATE", "DELETE", "WITH")
UNKNOWN = "nobody knows whether this was carried out"


@dataclass(eq=False)
class Commit:
    """A commit that is under way. `limit` is in seconds, `started` on the monotonic clock."""

    connection: Conn
    limit: float
    started: float
    doubted: bool = False
    cancelled: bool = False
    cut: bool = False


@dataclass
class _State:
    under_way: dict[Conn, Commit] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    thread: threading.Thread | None = None


_state = _State()


@contextlib.contextmanager
def watched(connection: Conn, limit: float) -> Iterator[None]:
    """Inside, `connection` commits. Raises OutcomeUnknown if nobody knows whether it did."""
    commit = Commit(connection, min(limit, thread_limits.commit_limit()), time.monotonic())
    _begin(commit)
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        if connection.closed:
            raise OutcomeUnknown(f"{UNKNOWN}: {error}", timed_out=commit.cancelled) from error
        raise
    else:
        if commit.cancelled:  # the warning that no standby has it may have been suppressed
            raise OutcomeUnknown(UNKNOWN, timed_out=True)
    finally:
        with _state.changed:
            _state.under_way.pop(connection, None)
        if commit.cancelled:
            connection.close()  # the cancel may arrive late, and would then hit the next statement


def watch_statement(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """A Django execute wrapper that watches writes outside a transaction, which commit by themselves."""
    wrapper = context["connection"]
    if wrapper.in_atomic_block or not wrapper.is_watched or not str(sql).lstrip()[:6].upper().startswith(WRITES):
        return execute(sql, params, many, context)
    with watched(wrapper.connection, wrapper.commit_timeout):
        return execute(sql, params, many, context)


def are_slow() -> bool:
    """Whether a commit of this process has taken longer than SLOW so far, so that nothing should wait for it."""
    with _state.changed:
        return any(commit.doubted for commit in _state.under_way.values())


# --- the thread -------------------------------------------------------------------------------------------------------
def _begin(commit: Commit) -> None:
    with _state.changed:
        _state.under_way[commit.connection] = commit
        if _state.thread is None:
            _state.thread = threading.Thread(target=_loop, name="commit-watch", daemon=True)
            _state.thread.start()
        elif len(_state.under_way) == 1:
            _state.changed.notify()


def _loop() -> None:
    while True:
        with _state.changed:
            _state.changed.wait_for(lambda: bool(_state.under_way))
            under_way = list(_state.under_way.values())
        for commit in under_way:
            _check(commit, time.monotonic() - commit.started)
        time.sleep(INTERVAL)


def _check(commit: Commit, age: float) -> None:
    if age > SLOW and not commit.doubted:
        commit.doubted = True
        write_state.doubt()
    if age > commit.limit and not commit.cancelled:
        commit.cancelled = True
        _log("a COMMIT has taken %.1f s: giving it up", age)
        threading.Thread(target=cancelling.cancel, args=([commit.connection], GRACE), daemon=True).start()
    if age > commit.limit + GRACE and not commit.cut:
        commit.cut = True
        _log("the server doesn't react to the cancel of a COMMIT: dropping the connection")
        sessions.cut(commit.connection)


def _log(text: str, *arguments: object) -> None:
    """Log it, unless it is known by now: the heartbeat commits again each second until one is confirmed."""
    if write_state.problem() != write_state.COMMIT_TIMED_OUT:
        logger.warning(text, *arguments)


def _forget_after_fork() -> None:
    _state.under_way, _state.changed, _state.thread = {}, threading.Condition(), None


os.register_at_fork(after_in_child=_forget_after_fork)
