"""Remembers which hosts don't answer, so that one dead mirror costs a few waits and not one for each package.

It must not know what is downloaded. Safe to use from several threads.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Optional

ENOUGH = 3  # errors after which pacman passes a host over, too


class Hosts:
    """The hosts of one run. A file that isn't there is no error of its host; and as with pacman, a host that gives
    one file in between isn't forgiven the errors before it."""

    def __init__(self) -> None:
        self._errors: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
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

    def try_again(self, host: str) -> None:
        """Have a host that was passed over asked once more: nothing else is left."""
        with self._lock:
            self._errors[host] = min(self._errors[host], ENOUGH - 1)
