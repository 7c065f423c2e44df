"""Remembers a bounded number of results of pure functions. It must not know what the functions compute.

functools.lru_cache asks for one key at a time; lists ask for hundreds at once, to read what is missing in one query.
"""

import threading
from collections.abc import Iterable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """At most `size` values in two generations, of which the older one is dropped when the younger one is full."""

    def __init__(self, size: int) -> None:
        self._half = max(1, size // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._lock = threading.Lock()

    def among(self, keys: Iterable[K]) -> dict[K, V]:
        """What is known about these keys."""
        found: dict[K, V] = {}
        with self._lock:
            for key in keys:
                for known in (self._young, self._old):
                    if key in known:
                        found[key] = known[key]
                        break
        for key, value in found.items():
            self[key] = value  # used again, so it stays
        return found

    def __setitem__(self, key: K, value: V) -> None:
        with self._lock:
            if len(self._young) >= self._half and key not in self._young:
                self._young, self._old = {}, self._young
            self._young[key] = value

    def clear(self) -> None:
        with self._lock:
            self._young, self._old = {}, {}
