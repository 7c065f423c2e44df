"""What speaks against the sessions of a dbpool, and what follows: none, one or all of them are discarded.

Three findings: a session is dead or silent; it is read-only; new connections reach another server. Each empties the
dbpool once, and a database that stays read-only costs one new connection a second, no more. It must not know sockets.
"""

import threading
import time
from enum import Enum, auto

RETRY = 1.0
"""Seconds between attempts to find out whether a new connection would be better than a read-only one."""


class Verdict(Enum):
    """What is to be done with a session, and with the others."""

    KEEP = auto()
    DISCARD = auto()
    """This one only."""
    EMPTY = auto()
    """This one and all others: those in use when they come back."""
    KEEP_AND_EMPTY = auto()
    """All others."""


class Suspicion:
    """Every time is of the monotonic clock, in seconds; `opened` is when a session was opened. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._emptied_at = 0.0
        self._read_only_since: float | None = None
        self._tried_at = float("-inf")
        self._server: bytes | None = None
        self._moved_at = float("-inf")

    @property
    def read_only(self) -> bool:
        """Whether the newest session that was looked at refuses writes."""
        return self._read_only_since is not None

    def condemned(self, opened: float) -> bool:
        """Whether a session is older than the last finding against all."""
        return opened <= self._emptied_at

    def dead(self, opened: float) -> Verdict:
        """A session was dead or silent: all of its age are taken for dead too."""
        with self._lock:
            if opened <= self._emptied_at:
                return Verdict.DISCARD
            self._emptied_at = time.monotonic()
            return Verdict.EMPTY

    def judge(self, opened: float, *, read_only: bool) -> Verdict:
        """A session answered. A read-only one is kept only when a new one was read-only too, within the last second."""
        now = time.monotonic()
        with self._lock:
            if opened <= self._emptied_at:
                return Verdict.DISCARD if read_only else Verdict.KEEP
            if not read_only:
                return self._writable(now)
            if now < self._tried_at + RETRY:
                return Verdict.KEEP
            self._tried_at = now
            if self._read_only_since is not None:
                return Verdict.DISCARD
            self._read_only_since = self._emptied_at = now
            return Verdict.EMPTY

    def _writable(self, now: float) -> Verdict:
        if self._read_only_since is None:
            return Verdict.KEEP
        self._read_only_since = None
        self._emptied_at = now
        return Verdict.KEEP_AND_EMPTY

    def reached(self, server: bytes | None, began: float) -> Verdict:
        """A connection that was begun at `began` is on `server`; None: unknown (PgBouncer), which proves nothing."""
        with self._lock:
            if server is None or server == self._server:
                return Verdict.KEEP
            if began < self._moved_at:
                return Verdict.DISCARD  # it was under way to the former server while another one reached the new one
            first, self._server = self._server is None, server
            if first:
                return Verdict.KEEP
            self._moved_at = self._emptied_at = time.monotonic()
            self._read_only_since = None
            return Verdict.KEEP_AND_EMPTY

    def left_behind(self, server: bytes | None) -> float:
        """Seconds since new connections reach another server than this one; 0 where they don't."""
        with self._lock:
            if server is None or self._server is None or server == self._server:
                return 0.0
            return time.monotonic() - self._moved_at
