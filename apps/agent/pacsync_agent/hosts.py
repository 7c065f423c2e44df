"""Remembers which hosts don't answer, or asked to be left alone: that counts for all files of a run, not for one.

It must not know what is downloaded. Safe to use from several threads.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Optional

ENOUGH = 3  # errors after which pacman passes a host over, too


class Hosts:
    """The hosts of one run. A file that isn't there is no error of its host; and as with pacman, a host that gives
    one file in between isn't forgiven the errors before it."""

    def __init__(self) -> None:
        self._errors: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
        self._not_before: dict[str, float] = {}
        self._gave: dict[str, float] = {}
        self._lock = threading.Lock()

    def failed(self, host: str, reason: str, *, hard: bool = False) -> None:
        """Count an error. `hard`: as good as ENOUGH of them (pacman: a name that can't be resolved)."""
        with self._lock:
            self._errors[host] += ENOUGH if hard else 1
            self._reasons[host] = reason

    def passed_over(self, host: str) -> Optional[str]:
        """The last error of a host that had enough of them; None of one that may be asked."""
        with self._lock:
            return self._reasons[host] if self._errors[host] >= ENOUGH else None

    def leave_alone(self, host: str, seconds: float) -> None:
        """Ask it for nothing during these seconds."""
        with self._lock:
            self._not_before[host] = max(self._not_before.get(host, 0), time.monotonic() + seconds)

    def left_alone(self, host: str) -> Optional[tuple[str, float]]:
        """The last error of a host that asked to be left alone, and for how many seconds it still is; else None."""
        with self._lock:
            left = self._not_before.get(host, 0) - time.monotonic()
            return (self._reasons.get(host, "it failed"), left) if left > 0 else None

    def gave(self, host: str) -> None:
        """A whole file came from it."""
        with self._lock:
            self._gave[host] = time.monotonic()

    def gave_since(self, host: str, moment: float) -> bool:
        """Whether it gave a file after this moment of the monotonic clock."""
        with self._lock:
            return self._gave.get(host, moment) > moment

    def try_again(self, host: str) -> None:
        """Have a host that was passed over asked once more: nothing else is left."""
        with self._lock:
            self._errors[host] = min(self._errors[host], ENOUGH - 1)
