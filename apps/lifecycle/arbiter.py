"""gunicorn's master by our rules: it stops within SHUTDOWN_TIMEOUT, and replaces workers without a gap.

gunicorn has no hook at these moments, so methods of its arbiter are wrapped (docs/adr/0016). It must not know what
workers do.
"""

import time
from typing import Any

from django.conf import settings
from gunicorn.errors import HaltServer

from apps.lifecycle import memory, phase, shutdown
from apps.lifecycle.drain_log import DrainLog
from apps.lifecycle.phase import Phase
from apps.lifecycle.reload import Reload
from apps.lifecycle.rollover import Rollover

KILL_MARGIN = 0.3  # seconds before the deadline at which the master kills what is left
QUICK_LIMIT = 5.0  # seconds after which workers are killed that got SIGQUIT; they take 2 themselves
QUICK_LOOK = 0.1  # seconds between two looks of the main loop while workers are replaced; else gunicorn's own second


def watch(server: Any) -> None:
    """Wrap the methods of this arbiter, once."""
    server.pacsync = _Watched(server)


def ended(server: Any, worker: Any, *, ready: bool) -> None:
    """A worker's process is gone; `ready`: it had accepted connections."""
    if hasattr(server, "pacsync"):
        server.pacsync.rollover.ended(worker, ready=ready)


def limit(cfg: Any, seconds: float) -> None:
    """Set gunicorn's graceful_timeout to the fraction of a second; `cfg.set` takes whole ones only."""
    cfg.settings["graceful_timeout"].value = seconds


class _Watched:
    def __init__(self, server: Any) -> None:
        self.server = server
        self._stop, self._reap, self._wait = server.stop, server.reap_workers, server.wait_for_signals
        self.rollover = Rollover(server)
        self.reload = Reload(server, self.rollover)
        self.drain_log = DrainLog()
        server.stop, server.reap_workers, server.wait_for_signals = self.stop, self.reap_workers, self.wait_for_signals
        server.reload, server.manage_workers = self.reload.begin, self.manage_workers

    def stop(self, graceful: bool = True) -> None:
        """gunicorn counts graceful_timeout from here; ours counts from the signal, and nobody knows how long ago."""
        shutdown.begin(0, settings.SHUTDOWN_TIMEOUT)
        shutdown.stop()
        self.reload.give_up()
        left = memory.current().floats[memory.DEADLINE] - time.monotonic() - KILL_MARGIN
        limit(self.server.cfg, max(0.1, left if graceful else min(left, QUICK_LIMIT)))
        self._stop(graceful)

    def manage_workers(self) -> None:
        """Called by the main loop after each signal, and once a second."""
        self.drain_log.look()
        self.reload.go_on()
        self.rollover.go_on()

    def wait_for_signals(self, timeout: float = 1.0) -> Any:
        busy = self.reload.under_way or self.rollover.under_way()
        return self._wait(timeout=min(timeout, QUICK_LOOK) if busy else timeout)

    def reap_workers(self) -> None:
        """gunicorn ends the whole instance when a worker can't start. Ours goes on while another one serves."""
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
        """Also in development, where `--reload` ends the worker first and the next one meets the half-written line."""
        served = bool(memory.current().floats[memory.SERVING_AT])
        return phase.current() is Phase.STOPPING or self.rollover.serving() or (self.server.cfg.reload and served)

    def _forget(self, before: dict[int, Any], failure: HaltServer) -> None:
        for pid, worker in before.items():
            if pid not in self.server.WORKERS:
                worker.tmp.close()
                memory.Slot(memory.current(), worker.slot).release()
        self.rollover.failed(str(failure.reason))
