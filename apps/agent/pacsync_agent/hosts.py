"""Remembers which hosts don't answer, so that one dead mirror costs a few waits and not one for each package.

It must not know what is downloaded. Safe to use from several threads.
"""

from __future__ import annotations

import threading
from collections import Counter

ENOUGH = 3  # errors after which pacman passes a host over, too


class Hosts:
    """The hosts of one gathering. A file that isn't there is no error of its host."""

    def __init__(self) -> None:
        self._errors: Counter[str] = Counter()
        self._lock = threading.Lock()

    def failed(self, host: str) -> None:
        with self._lock:
            self._errors[host] += 1

    def worked(self, host: str) -> None:
        with self._lock:
            self._errors.pop(host, None)

    def is_passed_over(self, host: str) -> bool:
        with self._lock:
            return self._errors[host] >= ENOUGH
