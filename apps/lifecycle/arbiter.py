"""gunicorn's master by our clock: it stops within what is left of SHUTDOWN_TIMEOUT, and a reload doesn't hold it up.

gunicorn has no hook at these two moments, so two methods of its arbiter are wrapped. It must not know what workers do.
"""

import time
from typing import Any

from django.conf import settings

from apps.lifecycle import memory, phase, shutdown
from apps.lifecycle.phase import Phase

KILL_MARGIN = 0.3  # seconds before the deadline at which the master kills what is left
QUICK_LIMIT = 5.0  # seconds after which workers are killed that got SIGQUIT; they take 2 themselves


def watch(server: Any) -> None:
    """Wrap the methods of this arbiter, once."""
    _Watched(server)


def limit(cfg: Any, seconds: float) -> None:
    """Set gunicorn's graceful_timeout to the fraction of a second; `cfg.set` takes whole ones only."""
    cfg.settings["graceful_timeout"].value = seconds


class _Watched:
    def __init__(self, server: Any) -> None:
        self.server = server
        self._stop, self._reap, self._reload = server.stop, server.reap_workers, server.reload
        self._reloading = False
        server.stop, server.reap_workers, server.reload = self.stop, self.reap_workers, self.reload

    def stop(self, graceful: bool = True) -> None:
        """gunicorn counts graceful_timeout from here; ours counts from the signal, and nobody knows how long ago."""
        shutdown.begin(0, settings.SHUTDOWN_TIMEOUT)
        shutdown.stop()
        left = memory.current().floats[memory.DEADLINE] - time.monotonic() - KILL_MARGIN
        limit(self.server.cfg, max(0.1, left if graceful else min(left, QUICK_LIMIT)))
        self._stop(graceful)

    def reload(self) -> None:
        self._reloading = True
        try:
            self._reload()
        finally:
            self._reloading = False

    def reap_workers(self) -> None:
        """A reload waits in the main loop for the old workers, and this is all that it calls meanwhile."""
        self._reap()
        if self._reloading and phase.current() is Phase.STOPPING:
            raise StopIteration  # as gunicorn's own handler of SIGTERM ends the main loop
