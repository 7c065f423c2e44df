"""A limit for COMMIT, which PostgreSQL has none for: `statement_timeout` ends before it, and a synchronous standby that
is gone holds it for ever. It must not know what is committed.

One thread of the process looks at the commits under way. One past its limit is cancelled: then PostgreSQL ends the
wait with a warning, and *has* committed, on this server alone. So what is known of it is nothing, and OutcomeUnknown
says so. A server that doesn't even react loses the connection. A write outside of a transaction is watched as a whole:
it commits by itself.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import InterfaceError, OperationalError
from psycopg import Connection

from apps.lifecycle import dbpool, writes
from apps.lifecycle.dbpool import OutcomeUnknown
from pacsync.postgresql import cancelling, sessions

logger = logging.getLogger(__name__)

Conn = Connection[Any]
LOOK = 0.2  # seconds between two looks at what is under way
SLOW = 1.0  # seconds after which a commit is a reason to doubt that the database takes writes
GRACE = 3.0  # seconds that the server has to react to the cancel
WRITES = ("INSERT", "UPDATE", "DELETE", "WITH")
UNKNOWN = "nobody knows whether this was carried out"


@dataclass(eq=False)
class Commit:
    """One that is under way."""

    connection: Conn
    limit: float
    started: float
    doubted: bool = False
    cancelled: bool = False
    cut: bool = False


_under_way: dict[Conn, Commit] = {}
_changed = threading.Condition()
_thread: threading.Thread | None = None


@contextlib.contextmanager
def watched(connection: Conn, limit: float) -> Iterator[None]:
    """Inside, `connection` commits. Raises OutcomeUnknown when nobody knows whether it did."""
    commit = Commit(connection, min(limit, dbpool.commit_limit()), time.monotonic())
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
        with _changed:
            _under_way.pop(connection, None)
        if commit.cancelled:
            connection.close()  # the cancel may arrive later, and would then be the next statement's


def watch_statement(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Django's execute wrapper: a write outside of a transaction commits by itself."""
    wrapper = context["connection"]
    if wrapper.in_atomic_block or not wrapper.is_watched or not str(sql).lstrip()[:6].upper().startswith(WRITES):
        return execute(sql, params, many, context)
    with watched(wrapper.connection, wrapper.commit_timeout):
        return execute(sql, params, many, context)


def are_slow() -> bool:
    """Whether one of this process is under way for longer than SLOW: nobody should wait for its end."""
    with _changed:
        return any(commit.doubted for commit in _under_way.values())


# --- the thread -------------------------------------------------------------------------------------------------------
def _begin(commit: Commit) -> None:
    global _thread
    with _changed:
        _under_way[commit.connection] = commit
        if _thread is None:
            _thread = threading.Thread(target=_loop, name="commit-watch", daemon=True)
            _thread.start()
        elif len(_under_way) == 1:
            _changed.notify()


def _loop() -> None:
    while True:
        with _changed:
            _changed.wait_for(lambda: bool(_under_way))
            present = list(_under_way.values())
        for commit in present:
            _look(commit, time.monotonic() - commit.started)
        time.sleep(LOOK)


def _look(commit: Commit, age: float) -> None:
    if age > SLOW and not commit.doubted:
        commit.doubted = True
        writes.doubt()
    if age > commit.limit and not commit.cancelled:
        commit.cancelled = True
        logger.warning("a COMMIT has taken %.1f s: giving it up", age)
        threading.Thread(target=cancelling.cancel, args=([commit.connection], GRACE), daemon=True).start()
    if age > commit.limit + GRACE and not commit.cut:
        commit.cut = True
        logger.warning("the server doesn't react to the cancel of a COMMIT: dropping the connection")
        sessions.cut(commit.connection)


def _forget_after_fork() -> None:
    global _thread, _changed
    _thread, _changed = None, threading.Condition()
    _under_way.clear()


os.register_at_fork(after_in_child=_forget_after_fork)
