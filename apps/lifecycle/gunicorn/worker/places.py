"""The places for requests that a worker serves at once, and the queue for them, in the main loop.

It must not know about connections or what a request says.

Reason: gunicorn's executor queues without a limit, and whoever waits in the bulkhead (apps/lifecycle/wsgi/bulkhead.py)
needs a thread of their own (docs/adr/0056-requests-wait-in-the-main-loop.md).
Remove when gunicorn itself limits its queue by number and time.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from django.conf import settings

from apps.lifecycle.shared_memory import memory

Result = TypeVar("Result")


class _Waiting(NamedTuple):
    until: float  # monotonic time
    start: Callable[[], object]
    refuse: Callable[[], object]


class Turns:
    """So many things at once; all others wait for their turn, as long as it takes. Each is started in its order."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._queue: deque[Callable[[], object]] = deque()

    def ask(self, start: Callable[[], object]) -> None:
        """Call `start`, now or when it is its turn."""
        if self._free:
            self._free -= 1
            start()
        else:
            self._queue.append(start)

    def leave(self) -> None:
        """One of those that were started is over."""
        self._free += 1
        if self._queue:
            self._free -= 1
            self._queue.popleft()()


class Places:
    """WEB_REQUEST_LIMIT places. WEB_QUEUE_SIZE more requests wait for one, each for at most WEB_QUEUE_TIMEOUT.

    Whoever was started calls `serve` in a thread, and then `leave` in the main loop, where all the others run.
    """

    def __init__(self) -> None:
        self._taken = 0
        self._queue: deque[_Waiting] = deque()

    def ask(self, start: Callable[[], object], refuse: Callable[[], object]) -> None:
        """Call `start`, now or when a place is free, or else `refuse`."""
        slot = memory.mine()
        if not slot.count(1, limit=settings.WEB_REQUEST_LIMIT + settings.WEB_QUEUE_SIZE):
            refuse()
        elif not self.are_taken:
            self._taken += 1
            start()
        else:
            slot.wait(1)
            self._queue.append(_Waiting(time.monotonic() + settings.WEB_QUEUE_TIMEOUT, start, refuse))

    def serve(self, work: Callable[[], Result]) -> Result:
        """Do the work of a request, which is then no longer in flight: a shutdown doesn't wait for it any more."""
        try:
            return work()
        finally:
            memory.mine().count(-1)

    def leave(self) -> None:
        """A request is over: its place is for the one that has waited longest."""
        self._taken -= 1
        if self._queue:
            waiting = self._queue.popleft()
            memory.mine().wait(-1)
            self._taken += 1
            waiting.start()

    @property
    def are_taken(self) -> bool:
        """Whether another request would have to wait."""
        return self._taken >= settings.WEB_REQUEST_LIMIT

    def refuse_overdue(self, *, until: float) -> None:
        """Refuse those that have waited for too long; begin no refusal after `until`, a monotonic time."""
        while self._queue and self._queue[0].until <= time.monotonic() < until:
            waiting = self._queue.popleft()
            slot = memory.mine()
            slot.wait(-1)
            slot.count(-1)
            slot.refuse()
            waiting.refuse()

    def seconds_left(self) -> float:
        """Until the next request has waited for too long."""
        return max(0.0, self._queue[0].until - time.monotonic()) if self._queue else float("inf")
