"""Replaces workers: the old one serves until the new one does. It must not know why a worker is replaced.

A worker is replaced when a reload has made it old, or when it asks for that in its slot: it has served
WEB_MAX_REQUESTS, or an operator sent it a SIGTERM. The master's main loop calls `go_on`, which never waits.
"""

import logging
import signal
import time
from typing import Any

from django.conf import settings
from gunicorn.errors import HaltServer

from apps.lifecycle.shared_memory import memory, phase
from apps.lifecycle.shared_memory.phase import Phase
from apps.lifecycle.shared_memory.slots import Slot

logger = logging.getLogger(__name__)

KILL_AFTER = 5.0  # seconds after SHUTDOWN_TIMEOUT, within which a replaced worker ends by itself
LONGEST_PAUSE = 30.0  # seconds between two attempts to start a worker that can't start


class WorkerReplacement:
    """Replaces the workers of one master. Each has a slot (master_hooks.pre_fork) and an age, higher for newer ones."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self._old_age = 0  # workers up to this age are to be replaced
        self._retired: dict[int, float] = {}  # pid, and when
        self._failures, self._again_at = 0, 0.0

    # --- asked by the master ---------------------------------------------------------------------------------------
    def replace_all(self) -> None:
        self._old_age = self.server.worker_age
        self._failures, self._again_at = 0, 0.0

    def under_way(self) -> bool:
        return bool(self._retired) or any(self._is_old(worker) for worker in self._staying())

    def serving(self) -> bool:
        """Whether a worker accepts connections."""
        return any(_slot(worker).ready for worker in self._staying())

    def room(self) -> int:
        """How many more workers the shared memory has a slot for."""
        shared = memory.current()
        return sum(1 for _ in shared.slots()) - len(self.server.WORKERS)

    def failed(self, reason: str) -> None:
        """A worker ended before it served: the next one is started after a pause, which grows each time."""
        pause = min(LONGEST_PAUSE, 2.0**self._failures)
        self._failures, self._again_at = self._failures + 1, time.monotonic() + pause
        logger.error("%s The workers that serve continue; another attempt in %g s", reason, pause)

    def ended(self, worker: Any, *, ready: bool) -> None:
        """A worker's process is gone."""
        if ready:
            self._failures = 0 if worker.age > self._old_age else self._failures
        elif worker.pid not in self._retired and phase.current() is not Phase.STOPPING:
            self.failed(f"A worker (pid {worker.pid}) ended before it could serve.")
        self._retired.pop(worker.pid, None)

    def go_on(self) -> None:
        if phase.current() is Phase.STOPPING:
            return
        for pid in self._retired.keys() - self.server.WORKERS.keys():
            del self._retired[pid]
        self._start_missing()
        self._retire_replaced()
        self._kill_stuck()

    # --- its steps -------------------------------------------------------------------------------------------------
    def _staying(self) -> list[Any]:
        """The workers that are not retired, oldest first."""
        workers = [worker for pid, worker in self.server.WORKERS.items() if pid not in self._retired]
        return sorted(workers, key=lambda worker: worker.age)

    def _is_old(self, worker: Any) -> bool:
        return bool(worker.age <= self._old_age or _slot(worker).wants_replacement)

    def _start_missing(self) -> None:
        staying = self._staying()
        # An instance that drains replaces no old worker, but starts one that is missing.
        counted = staying if phase.leaving() else [worker for worker in staying if not self._is_old(worker)]
        missing = min(self.server.num_workers - len(counted), self.room())
        if missing > 0 and time.monotonic() >= self._again_at:
            for _ in range(1 if self._failures else missing):
                if not self._spawn():
                    return

    def _spawn(self) -> bool:
        """Start a worker. False if it can't be started for lack of a process, a descriptor or a file.

        The slot that pre_fork has claimed for it is free again at the next attempt.
        """
        try:
            self.server.spawn_worker()
        except (OSError, RuntimeError) as error:  # the latter is gunicorn's, for a worker_tmp_dir that is gone
            reason = f"A worker can't be started: {error}."
            if not memory.current().header.serving_at:
                raise HaltServer(reason, 1) from error
            self.failed(reason)
            return False
        return True

    def _retire_replaced(self) -> None:
        staying = self._staying()
        old = [worker for worker in staying if self._is_old(worker)]
        ready = len([worker for worker in staying if not self._is_old(worker) and _slot(worker).ready])
        if phase.leaving():
            return
        # Those that don't serve yet come first. Retire only as many as have a replacement that serves.
        old.sort(key=lambda worker: (_slot(worker).ready, worker.age))
        for worker in old[: max(0, len(old) + ready - self.server.num_workers)]:
            self._retire(worker)
        surplus = [worker for worker in self._staying() if not self._is_old(worker)]
        for worker in surplus[: max(0, ready - self.server.num_workers)]:
            self._retire(worker)

    def _retire(self, worker: Any) -> None:
        _slot(worker).retire()
        self._retired[worker.pid] = time.monotonic()
        logger.info("worker %s has been replaced: it finishes what it has begun", worker.pid)
        self.server.kill_worker(worker.pid, signal.SIGTERM)

    def _kill_stuck(self) -> None:
        for pid, since in self._retired.items():
            if time.monotonic() > since + settings.SHUTDOWN_TIMEOUT + KILL_AFTER:
                self.server.kill_worker(pid, signal.SIGKILL)


def _slot(worker: Any) -> Slot:
    return memory.current().slot(worker.slot)
