"""Runs the steps of agents and operators when they are due, in a few threads. It must not know what a step does."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterable

THREADS = 2


class Life:
    """`start()` starts the threads, `stop()` ends them. A step returns the seconds until it is due again."""

    def __init__(self, steps: Iterable[Callable[[], float]], *, spread: float = 20.0) -> None:
        """`spread`: the seconds within which all steps run for the first time."""
        self._numbers = itertools.count()
        steps = list(steps)
        now = time.monotonic()
        self._due = [
            (now + spread * at / len(steps), next(self._numbers), step) for at, step in enumerate(steps, start=1)
        ]
        heapq.heapify(self._due)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._loop, daemon=True) for _ in range(THREADS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Wait for the steps that are running, and end the threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _loop(self) -> None:
        while not self._stop.wait(self._step()):
            pass

    def _step(self) -> float:
        """Run the next step if it is due. Returns the seconds to wait."""
        with self._lock:
            wait = self._due[0][0] - time.monotonic() if self._due else 1.0
            if wait > 0:
                return min(wait, 1.0)
            _, _, step = heapq.heappop(self._due)
        pause = step()
        with self._lock:
            heapq.heappush(self._due, (time.monotonic() + pause, next(self._numbers), step))
        return 0.0
