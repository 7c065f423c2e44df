"""Decides which sessions of a dbpool are discarded: none, one or all of them.

There are three reasons: a session is dead or silent, it is read-only, or new connections reach another server. Each
empties the dbpool once. A database that stays read-only costs one new connection a second. It must not know sockets.
"""

import threading
import time
from enum import Enum, auto

RETRY = 1.0
"""Seconds between attempts to find out whether a new connection would be better than a read-only one."""


class Eviction(Enum):
    """What to do with a session, and with the others."""

    KEEP = auto()
    DISCARD = auto()
    """This one only."""
    EMPTY = auto()
    """This one and all others; those in use, when they come back."""
    KEEP_AND_EMPTY = auto()
    """All others."""


class EvictionPolicy:
    """All times are on the monotonic clock, in seconds; `opened` is when a session was opened. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._emptied_at = 0.0
        self._read_only_since: float | None = None
        self._tried_at = float("-inf")
        self._server: bytes | None = None
        self._moved_at = float("-inf")

    def evicted(self, opened: float) -> bool:
        """Whether a session is from before the dbpool was last emptied."""
        return opened <= self._emptied_at

    def dead(self, opened: float) -> Eviction:
        """A session was dead or silent: all that were opened until now count as dead too."""
        with self._lock:
            if opened <= self._emptied_at:
                return Eviction.DISCARD
            self._emptied_at = time.monotonic()
            return Eviction.EMPTY

    def answered(self, opened: float, *, read_only: bool) -> Eviction:
        """A session answered. A read-only one is kept only when a new one was read-only too, within the last second."""
        now = time.monotonic()
        with self._lock:
            if opened <= self._emptied_at:
                return Eviction.DISCARD if read_only else Eviction.KEEP
            if not read_only:
                return self._writable(now)
            if now < self._tried_at + RETRY:
                return Eviction.KEEP
            self._tried_at = now
            if self._read_only_since is not None:
                return Eviction.DISCARD
            self._read_only_since = self._emptied_at = now
            return Eviction.EMPTY

    def _writable(self, now: float) -> Eviction:
        if self._read_only_since is None:
            return Eviction.KEEP
        self._read_only_since = None
        self._emptied_at = now
        return Eviction.KEEP_AND_EMPTY

    def reached(self, server: bytes | None, began: float) -> Eviction:
        """An attempt that began at `began` has reached `server`, None if unknown (PgBouncer), which proves nothing."""
        with self._lock:
            if server is None or server == self._server:
                return Eviction.KEEP
            if began < self._moved_at:
                return Eviction.DISCARD  # it was on its way to the old server while another one reached the new one
            first, self._server = self._server is None, server
            if first:
                return Eviction.KEEP
            self._moved_at = self._emptied_at = time.monotonic()
            self._read_only_since = None
            return Eviction.KEEP_AND_EMPTY

    def left_behind(self, server: bytes | None) -> float:
        """For how many seconds new connections have reached another server than this one; 0 if they don't."""
        with self._lock:
            if server is None or self._server is None or server == self._server:
                return 0.0
            return time.monotonic() - self._moved_at
