"""Whether connections can be made at the moment, and if not, since when. It must not know why."""

import threading
import time

RESTART = 3.0  # seconds for which requests wait for a database that is gone; after that they are refused at once


class Outage:
    """Is told about each attempt to connect. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failing_since: float | None = None  # when the current series of failed attempts began

    def changed(self, *, failing: bool) -> bool:
        """Note an attempt. Returns whether its result differs from the one before."""
        with self._lock:
            before = self._failing_since
            if failing != (before is not None):
                self._failing_since = time.monotonic() if failing else None
        return failing != (before is not None)

    def is_short(self) -> bool:
        """Whether connecting has only just begun to fail: requests wait, as a restart or a failover may be short."""
        with self._lock:
            return self._failing_since is not None and time.monotonic() < self._failing_since + RESTART
