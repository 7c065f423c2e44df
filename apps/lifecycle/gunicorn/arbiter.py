"""Changes gunicorn's master: it stops within SHUTDOWN_TIMEOUT, and replaces workers without a gap.

gunicorn has no hooks for this, so methods of its arbiter are wrapped (docs/adr/0011 lists them, 0016 says why).
It must not know what workers do.
"""

import signal
import time
from typing import Any

from django.conf import settings
from gunicorn.errors import HaltServer

from apps.lifecycle import shutdown
from apps.lifecycle.gunicorn import graceful_timeout
from apps.lifecycle.gunicorn.drain_log import DrainLog
from apps.lifecycle.gunicorn.reload.reload import Reload
from apps.lifecycle.gunicorn.reload.replacement import WorkerReplacement
from apps.lifecycle.shared_memory import memory, phase
from apps.lifecycle.shared_memory.phase import Phase

KILL_MARGIN = 0.3  # seconds before the deadline at which the master kills what is left
QUICK_LIMIT = 5.0  # seconds after SIGQUIT at which workers are killed; they end after worker_hooks.QUICK_EXIT
BUSY_INTERVAL = 0.1  # seconds between two rounds of the main loop while workers are replaced; else gunicorn's 1 s


def wrap(server: Any) -> None:
    """Wrap the methods of this arbiter, once."""
    server.pacsync = _WrappedArbiter(server)


def worker_ended(server: Any, worker: Any, *, ready: bool) -> None:
    """gunicorn has reaped a worker's process; `ready`: it had accepted connections."""
    if hasattr(server, "pacsync"):
        server.pacsync.replacement.ended(worker, ready=ready)


class _WrappedArbiter:
    def __init__(self, server: Any) -> None:
        self.server = server
        self._stop, self._reap, self._wait = server.stop, server.reap_workers, server.wait_for_signals
        self.replacement = WorkerReplacement(server)
        self.reload = Reload(server, self.replacement)
        self.drain_log = DrainLog()
        server.stop, server.reap_workers, server.wait_for_signals = self.stop, self.reap_workers, self.wait_for_signals
        server.reload, server.manage_workers = self.reload.begin, self.manage_workers

    def stop(self, graceful: bool = True) -> None:
        """gunicorn's graceful_timeout begins here, but SHUTDOWN_TIMEOUT began at the signal: set what is left of it."""
        shutdown.begin(0, settings.SHUTDOWN_TIMEOUT)
        shutdown.stop()
        self.reload.give_up()
        left = memory.current().header.deadline - time.monotonic() - KILL_MARGIN
        graceful_timeout.set_graceful_timeout(self.server.cfg, max(0.1, left if graceful else min(left, QUICK_LIMIT)))
        self._stop(graceful)

    def manage_workers(self) -> None:
        """gunicorn's main loop calls it after each signal, and once a second."""
        self.drain_log.log_changes()
        self.reload.go_on()
        self.replacement.go_on()

    def wait_for_signals(self, timeout: float = 1.0) -> Any:
        busy = self.reload.under_way or self.replacement.under_way()
        signals = self._wait(timeout=min(timeout, BUSY_INTERVAL) if busy else timeout)
        # gunicorn's loop ends at a SIGTERM and forgets what came after it: the quick end comes first.
        return sorted(signals, key=lambda number: number not in (signal.SIGQUIT, signal.SIGINT))

    def reap_workers(self) -> None:
        """gunicorn ends the whole instance if a worker can't start. Here it goes on while another worker serves."""
        while True:
            before = dict(self.server.WORKERS)
            try:
                self._reap()
                return
            except HaltServer as failure:
                if not self._goes_on():
                    raise
                self._forget(before, failure)

    def _goes_on(self) -> bool:
        """Whether the instance goes on although a worker couldn't start.

        In development it always does: `--reload` has already ended the old worker when a half-written line stops the
        next one.
        """
        served = bool(memory.current().header.serving_at)
        return phase.current() is Phase.STOPPING or self.replacement.serving() or (self.server.cfg.reload and served)

    def _forget(self, before: dict[int, Any], failure: HaltServer) -> None:
        for pid, worker in before.items():
            if pid not in self.server.WORKERS:
                worker.tmp.close()
                memory.current().slot(worker.slot).release()
        self.replacement.failed(str(failure.reason))
