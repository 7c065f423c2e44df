"""Tracked work: what this process is doing by name, and what shutdown waits for. It must not know why anybody waits."""

import itertools
import threading
import time
from collections import Counter
from contextlib import ContextDecorator
from types import TracebackType

from apps.lifecycle import memory

_keys = itertools.count(1)
_present: dict[int, tuple[str, float]] = {}
_changed = threading.Condition()


class operation_context(ContextDecorator):
    """Track the work inside as `name`: `with`, `async with`, or a decorator of a function that isn't a coroutine.

    Shutdown waits for it within its time limit, and reports it by this name. One object may be entered several times.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._entries: list[tuple[int, int | None]] = []

    def __enter__(self) -> "operation_context":
        entry = memory.mine().track(self.name)
        key = next(_keys)
        with _changed:
            _present[key] = (self.name, time.monotonic())
        self._entries.append((key, entry))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        key, entry = self._entries.pop()
        memory.mine().untrack(entry)
        with _changed:
            _present.pop(key, None)
            _changed.notify_all()

    async def __aenter__(self) -> "operation_context":
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def present() -> Counter[str]:
    """How many works of each name this process is doing."""
    with _changed:
        return Counter(name for name, _ in _present.values())


def wait(seconds: float) -> Counter[str]:
    """Wait until nothing is tracked in this process, `seconds` at most; what is still left then."""
    end = time.monotonic() + seconds
    with _changed:
        _changed.wait_for(lambda: not _present, timeout=max(0.0, end - time.monotonic()))
    return present()
