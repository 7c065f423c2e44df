"""What the calling thread may take of the dbpool, and for how long. It must not know the dbpool itself.

A thread says what kind of work it does; the dbpool and the limit of a COMMIT read it here.
"""

import contextlib
import threading
import time
from collections.abc import Iterator

_thread = threading.local()


def mark_background() -> None:
    """Mark this thread as doing background work: it may use the connection that requests can't take."""
    _thread.background = True


def is_background() -> bool:
    return getattr(_thread, "background", False)


def mark_writer(value: bool) -> None:
    """Set whether this thread serves a request that may change something: then it leaves some connections to others."""
    _thread.writer = value


def is_writer() -> bool:
    return getattr(_thread, "writer", False)


@contextlib.contextmanager
def commits_within(seconds: float) -> Iterator[None]:
    """Inside, a COMMIT of this thread is given up after `seconds` if that is less than DB_COMMIT_TIMEOUT."""
    before = commit_limit()
    _thread.commit_limit = seconds
    try:
        yield
    finally:
        _thread.commit_limit = before


def commit_limit() -> float:
    return getattr(_thread, "commit_limit", float("inf"))


@contextlib.contextmanager
def background(*, timeout: float | None = None, hold: float | None = None) -> Iterator[None]:
    """Inside, this thread does background work and waits at most `timeout` seconds for a connection.

    It may keep the connection for at most `hold` seconds: then the connection is cut off, even if the server is frozen.
    """
    before = is_background(), checkout_timeout(), getattr(_thread, "hold", None)
    _thread.background, _thread.timeout, _thread.hold = True, timeout, hold
    try:
        yield
    finally:
        _thread.background, _thread.timeout, _thread.hold = before


def checkout_timeout() -> float | None:
    """How long this thread waits for a connection, in seconds; None: the dbpool's own limit."""
    return getattr(_thread, "timeout", None)


def hold_until() -> float | None:
    """The monotonic time at which this thread must give back a connection that it takes now; None for no limit."""
    hold = getattr(_thread, "hold", None)
    return None if hold is None else time.monotonic() + hold
