"""Tracked work: what this process is doing, by name, so that shutdown can wait for it. It must not know what it is."""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ContextDecorator
from dataclasses import dataclass, field
from types import TracebackType

from apps.lifecycle.shared_memory import memory


@dataclass
class _State:
    names: dict[int, str] = field(default_factory=dict)
    keys: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    lock: threading.RLock = field(default_factory=threading.RLock)  # a signal handler that interrupts it asks, too


_state = _State()


class operation_context(ContextDecorator):
    """Track the work inside as `name`: `with`, `async with`, or a decorator of a function that isn't a coroutine.

    Shutdown waits for it within its time limit, and reports it by this name. One object may be entered several times.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._entries: list[tuple[int, int | None]] = []

    def __enter__(self) -> "operation_context":
        entry = memory.mine().track(self.name)
        key = next(_state.keys)
        with _state.lock:
            _state.names[key] = self.name
        self._entries.append((key, entry))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        key, entry = self._entries.pop()
        memory.mine().untrack(entry)
        with _state.lock:
            _state.names.pop(key, None)

    async def __aenter__(self) -> "operation_context":
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def in_progress() -> Counter[str]:
    """How much tracked work of each name this process is doing."""
    with _state.lock:
        return Counter(_state.names.values())
