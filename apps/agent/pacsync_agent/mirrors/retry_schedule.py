"""How long a run waits for failing mirrors, and when it asks them again.

All downloads of a run share one patience: an outage costs its time once, not for each file. It must not
know what is downloaded. Safe to use from several threads.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

FIRST, LONGEST = 1.0, 15.0  # seconds of the pauses, which double
OUTAGE = 90.0  # seconds, unless the machine's own configuration says another
TICK = 0.2  # seconds


@dataclass
class Patience:
    """`outage`: seconds without any success after which the run gives up; `total`: for all outages together."""

    outage: float = OUTAGE
    total: float = 300
    _spent: float = 0
    _since: float = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def worked(self) -> None:
        """A file came: the outage, if there was one, is over."""
        with self._lock:
            if self._since:
                self._spent += time.monotonic() - self._since
                self._since = 0

    def pause(self, attempt: int, asked: float) -> float:
        """Seconds to wait before the next try, 0 when waiting is useless. `asked`: seconds that the mirrors want."""
        now = time.monotonic()
        with self._lock:
            self._since = self._since or now
            left = min(self.outage, self.total - self._spent) - (now - self._since)
        seconds = max(asked, random.uniform(0.5, 1) * min(LONGEST, FIRST * 2 ** min(attempt, 10)))  # noqa: S311 - jitter
        return seconds if seconds <= left else 0


def wait(seconds: float, stop: threading.Event, tick: Callable[[float], None]) -> bool:
    """Wait; False as soon as `stop` is set. `tick` gets the remaining seconds, several times a second."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not stop.is_set():
        tick(left)
        time.sleep(min(TICK, left))
    return not stop.is_set()
