"""Two events as one. It must not know what they mean."""

from __future__ import annotations

import threading


class EitherEvent(threading.Event):
    """Set when itself or one of `parts` is. Only for `is_set`: `wait` doesn't notice the parts."""

    def __init__(self, *parts: threading.Event) -> None:
        super().__init__()
        self._parts = parts

    def is_set(self) -> bool:
        return super().is_set() or any(part.is_set() for part in self._parts)
