"""Remembers for a whole run which hosts don't answer, or asked the client to wait.

It must not know what is downloaded. Safe to use from several threads.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Optional

ENOUGH = 3  # errors after which a host is skipped, as in pacman


class Hosts:
    """The hosts of one run. A missing file is no error of its host. As in pacman, a file that comes doesn't reset the
    count of errors."""

    def __init__(self) -> None:
        self._errors: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
        self._not_before: dict[str, float] = {}
        self._gave: dict[str, float] = {}
        self._lock = threading.Lock()

    def failed(self, host: str, reason: str, *, hard: bool = False) -> None:
        """Count an error. `hard`: as many as ENOUGH at once (as in pacman, for a name that can't be resolved)."""
        with self._lock:
            self._errors[host] += ENOUGH if hard else 1
            self._reasons[host] = reason

    def passed_over(self, host: str) -> Optional[str]:
        """The last error of a host that had ENOUGH; None if it may be asked."""
        with self._lock:
            return self._reasons[host] if self._errors[host] >= ENOUGH else None

    def leave_alone(self, host: str, seconds: float) -> None:
        """Don't ask the host for these seconds."""
        with self._lock:
            self._not_before[host] = max(self._not_before.get(host, 0), time.monotonic() + seconds)

    def left_alone(self, host: str) -> Optional[tuple[str, float]]:
        """The last error of a host that asked the client to wait, and the seconds that are left; else None."""
        with self._lock:
            left = self._not_before.get(host, 0) - time.monotonic()
            return (self._reasons.get(host, "it failed"), left) if left > 0 else None

    def gave(self, host: str) -> None:
        """A whole file came from the host."""
        with self._lock:
            self._gave[host] = time.monotonic()

    def gave_since(self, host: str, moment: float) -> bool:
        """Whether the host gave a file after this moment of the monotonic clock."""
        with self._lock:
            return self._gave.get(host, moment) > moment

    def try_again(self, host: str) -> None:
        """Let a skipped host be asked once more, because no other is left."""
        with self._lock:
            self._errors[host] = min(self._errors[host], ENOUGH - 1)
