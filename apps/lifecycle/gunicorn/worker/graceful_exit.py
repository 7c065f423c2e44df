"""Graceful exit: a worker ends only when its master wants it to, and loses no connection that a client has opened.

It must not know about requests or why a worker ends.

Reasons, each with its upstream issue:

- A worker that ends leaves connections in the listener's queue, which the kernel resets:
  https://github.com/benoitc/gunicorn/issues/922, https://github.com/benoitc/gunicorn/issues/2529,
  https://github.com/benoitc/gunicorn/issues/3038, and a draft of the same fix in
  https://github.com/benoitc/gunicorn/pull/3612.
- A SIGTERM to the whole process group ends the workers while the master still drains:
  https://github.com/benoitc/gunicorn/pull/1868 wants the same for SIGHUP.
- gthread's handler of SIGQUIT takes a lock that the main loop may hold, and the worker hangs until it is killed. No
  upstream issue is known.

Remove when gunicorn empties a listener before it closes it, has its workers leave signals to the master, and closes
its threads outside a signal handler.
"""

import contextlib
import signal
import time
from functools import partial
from typing import Any

from gunicorn.workers import gthread

from apps.lifecycle import shutdown
from apps.lifecycle.gunicorn import listeners, worker_hooks
from apps.lifecycle.gunicorn.worker.connections import Connections
from apps.lifecycle.shared_memory import memory, phase

SETTLE = 0.1  # seconds for handshakes under way to finish


class GracefulExit(Connections):
    """`owns_listeners`: they end with this instance; otherwise systemd has them, and clients wait for the next one."""

    owns_listeners = True

    def init_signals(self) -> None:
        """Install gunicorn's handlers, but ignore what only the master handles, and a SIGTERM that it didn't send."""
        super().init_signals()
        worker_hooks.ignore_signals_of_the_master()
        signal.signal(signal.SIGTERM, partial(worker_hooks.end_unloaded, self))  # until worker_hooks.post_worker_init
        signal.siginterrupt(signal.SIGTERM, False)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGQUIT. gthread's own handler closes its threads, for which it needs a lock. If the signal interrupts the
        main loop while that holds the lock to hand over a request, the worker hangs until it is killed, without its
        cleanup. Here the threads end with the process (worker_hooks.worker_exit).

        If the worker already ends, it only waits no longer: gunicorn's SystemExit would end its cleanup, too."""
        if shutdown.hurry(worker_hooks.QUICK_EXIT):
            return
        super(gthread.ThreadWorker, self).handle_quit(sig, frame)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Once the worker ends: accept every client that is already connected, then close the listener.

        The last worker first has the kernel drop new connections. Their clients try again after a second, and are then
        refused, so that a load balancer sends them elsewhere. gunicorn keeps the listener open until it is done, and
        then resets the connections that were made in the meantime.
        """
        super().set_accept_enabled(enabled)
        if enabled:
            memory.mine().accepting()  # from now on the master may end the worker that this one replaces
        if enabled or self.alive:
            return
        memory.mine().begin_closing()
        seconds = SETTLE if self._closes_last() else 0.0
        for listener in (one for one in self.sockets if one.sock):
            if seconds:
                with contextlib.suppress(OSError):
                    listeners.drop_new_connections(listener.sock)
            self._accept_waiting(listener, until=time.monotonic() + seconds)
            listener.close()

    def _accept_waiting(self, listener: Any, until: float) -> None:
        while (
            self.nr_conns < self.worker_connections
            and listeners.has_connection(listener, until)
            and self.accept(listener)
        ):
            pass

    def _closes_last(self) -> bool:
        """Whether the listeners end with this worker: a client that connects after that is reset."""
        if not self.owns_listeners or phase.current() is not phase.Phase.STOPPING:
            return False
        others = (slot for slot in memory.current().live() if slot.index != memory.mine().index)
        return all(slot.closing or not slot.ready for slot in others)
