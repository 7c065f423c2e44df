"""gunicorn's hooks in a worker: it takes its slot, counts its requests, and ends. deploy/gunicorn.conf.py wires them.

A worker ends on a SIGTERM only if its master has announced it. It must not know the master's own hooks
(master_hooks.py). What reaches into gunicorn's classes is in worker/.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any

from django.conf import settings

from apps.lifecycle import shutdown
from apps.lifecycle.gunicorn import graceful_timeout
from apps.lifecycle.shared_memory import memory, phase
from apps.lifecycle.work import loops, serving, worker_upkeep

logger = logging.getLogger(__name__)

LIMIT_CHECK_INTERVAL = 1.0  # seconds between two moments at which a gthread worker that ends looks at its time limit
QUICK_EXIT = 1.5  # seconds that a worker has after its master's SIGQUIT; gunicorn's master kills it after 2
UNANNOUNCED = 5.0  # seconds for a worker that ends without a signal, for instance because its master has died
# What may reach a worker because somebody sent it to the whole process group; only the master handles it.
SIGNALS_OF_THE_MASTER = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)


@dataclass
class _WorkerState:
    """What a worker keeps between its hooks."""

    waited_for: Counter[str] = field(default_factory=Counter)
    ending: bool = False  # it got its SIGTERM
    until: float | None = None  # the monotonic time at which it must have ended
    wait_until: float | None = None  # the monotonic time until which requests and tracked work are waited for
    quick: bool = False
    served: int = 0  # requests
    replace_after: int = 0  # requests after which this worker asks to be replaced; 0 for never


_state = _WorkerState()


# --- it starts --------------------------------------------------------------------------------------------------------
def post_fork(server: Any, worker: Any) -> None:
    """Take the slot, and drop the master's signal handlers."""
    memory.install(memory.current(), slot=worker.slot)
    memory.mine().adopt(os.getpid())
    worker.owns_listeners = not (server.systemd or server.master_pid)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, partial(end_unloaded, worker))
    ignore_signals_of_the_master()


def ignore_signals_of_the_master() -> None:
    for number in SIGNALS_OF_THE_MASTER:
        signal.signal(number, signal.SIG_IGN)


def master_announced_end(worker: Any) -> bool:
    """Whether a SIGTERM that this worker got came from its master, which announces it in the shared memory.

    Otherwise it went to the whole process group, whose master drains and then ends its workers itself; or an operator
    sent it to this worker alone.
    """
    return bool(memory.mine().retired) or phase.current() is phase.Phase.STOPPING or os.getppid() != worker.ppid


def end_unloaded(worker: Any, number: int, frame: FrameType | None) -> None:
    """SIGTERM to a worker that still loads the application: it has nothing to finish."""
    if master_announced_end(worker):
        os._exit(0)


def post_worker_init(worker: Any) -> None:
    """The application is loaded: serve."""
    _state.replace_after = _take_over_limit(worker)
    whole = settings.SHUTDOWN_TIMEOUT
    graceful_timeout.set_graceful_timeout(
        worker.cfg, max(0.0, whole - shutdown.EXIT_MARGIN - shutdown.reserve(whole) - LIMIT_CHECK_INTERVAL)
    )
    signal.signal(signal.SIGTERM, partial(_on_sigterm, worker))
    signal.siginterrupt(signal.SIGTERM, False)
    serving.begin()


def _take_over_limit(worker: Any) -> int:
    """gunicorn's limit of requests, jitter included. gunicorn itself would end the worker without a replacement."""
    limit, worker.max_requests = worker.max_requests, sys.maxsize
    return 0 if limit == sys.maxsize else int(limit)


# --- it serves --------------------------------------------------------------------------------------------------------
def pre_request(worker: Any, request: Any) -> None:
    """While the instance drains, an answer closes its connection, so that the client opens the next one elsewhere."""
    if phase.leaving():
        request.force_close()


def post_request(worker: Any, request: Any, environ: Any, response: Any) -> None:
    """Count the request for WEB_MAX_REQUESTS, unless it is a probe."""
    if not _state.replace_after or settings.HEALTH_PATH.fullmatch(request.path):
        return
    _state.served += 1  # several threads count: one more or less doesn't matter
    if _state.served >= _state.replace_after and not memory.mine().wants_replacement:
        logger.info("this worker has served %d requests: it asks to be replaced", _state.served)
        memory.mine().ask_for_replacement()


# --- it ends ----------------------------------------------------------------------------------------------------------
def _on_sigterm(worker: Any, number: int, frame: FrameType | None) -> None:
    """End if the master means it. Otherwise ask to be replaced."""
    if _state.ending:
        return  # the master repeats it; the first one counts
    if not master_announced_end(worker):
        memory.mine().ask_for_replacement()
        return
    _state.ending = True
    _state.waited_for = shutdown.under_way()
    now = time.monotonic()
    _state.until = _until()
    _state.wait_until = _state.until - shutdown.reserve(_state.until - now)
    # gunicorn looks at its limit once a second; `finish` waits for exactly the rest.
    graceful_timeout.set_graceful_timeout(worker.cfg, max(0.0, _state.wait_until - now - LIMIT_CHECK_INTERVAL))
    # The replacement may need this worker's connections. When the whole instance stops, nobody does, and no loop runs.
    loops.run_now(worker_upkeep.LOOP)
    worker.handle_exit(number, frame)


def worker_int(worker: Any) -> None:
    """SIGQUIT: the master got one, or a SIGINT after its first signal."""
    _state.quick = True
    _state.wait_until = time.monotonic()
    _state.waited_for = shutdown.under_way()


def worker_exit(server: Any, worker: Any) -> None:
    """The worker's last act: wait for tracked work, clean up, and leave a report for the master."""
    if os.getpid() != worker.pid or not serving.active():
        return
    until = _until() if phase.leaving() or _state.quick else _state.until or time.monotonic() + UNANNOUNCED
    report = shutdown.finish(until=until, waited_for=_state.waited_for, wait_until=_state.wait_until)
    memory.mine().write_shutdown_report(report.as_dict())
    _end_with_stuck_threads()


def _until() -> float:
    """The monotonic time at which this worker must have ended."""
    now = time.monotonic()
    if _state.quick:
        return now + QUICK_EXIT
    deadline = memory.current().header.deadline or now + settings.SHUTDOWN_TIMEOUT
    return max(deadline - shutdown.EXIT_MARGIN, now + 0.1)


def _end_with_stuck_threads() -> None:
    """Exit now if a thread is stuck: it would delay the interpreter's exit until the master kills this process."""
    failure = sys.exc_info()[1]
    if isinstance(failure, SystemExit) and failure.code:
        return  # gunicorn's own exit code matters
    time.sleep(0.05)
    if any(thread is not threading.main_thread() and not thread.daemon for thread in threading.enumerate()):
        shutdown.end_process()
