"""gunicorn's hooks in the master: it makes the shared memory, drains on a signal, and gives each worker its slot.

The drain comes before gunicorn's own handling of SIGTERM: its handlers are kept, and a timer calls them when the drain
is over. Until then the listener, the heartbeats and the restart of workers stay as they are. deploy/gunicorn.conf.py
wires the hooks. It must not know what a worker does (worker_hooks.py). What reaches into gunicorn's classes is in
arbiter.py, reload/ and worker/.
"""

import logging
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.checks.security.base import check_secret_key, check_secret_key_fallbacks

from apps.lifecycle import ports, shutdown, system_checks
from apps.lifecycle.dbpool import facade
from apps.lifecycle.gunicorn import arbiter, options
from apps.lifecycle.gunicorn.reload import trial_mode
from apps.lifecycle.shared_memory import memory, phase
from apps.lifecycle.shared_memory.slots import Slot
from apps.lifecycle.shutdown import ShutdownReport
from apps.lifecycle.work.cleanup import CleanupResult

logger = logging.getLogger(__name__)


@dataclass
class _MasterState:
    """What the master keeps between its hooks."""

    handlers: dict[int, Any] = field(default_factory=dict)  # gunicorn's own
    reports: list[ShutdownReport] = field(default_factory=list)  # what ended workers reported
    killed: int = 0  # workers


state = _MasterState()


# --- the master starts ------------------------------------------------------------------------------------------------
def prepare() -> None:
    """Make the shared memory, once, before the application is loaded, so that it also exists with `preload_app`."""
    if memory.current().header.master != os.getpid() or not memory.current().header.port:
        findable = not trial_mode.mode.is_on
        shared = memory.Memory.create(workers=settings.WEB_CONCURRENCY, port=settings.HTTP_PORT, findable=findable)
        memory.install(shared)
        shared.header.budget = settings.DB_POOL_MAX_SIZE
        shared.header.asked_port = options.asked_port()
        memory.current().header.drain_delay = settings.SHUTDOWN_DRAIN_DELAY  # `manage.py drain` waits for it


def on_starting(server: Any) -> None:
    """Say in one line that the port is taken, instead of trying for five seconds; warn of what isn't safe."""
    found = [*system_checks.strict_transport(), *system_checks.readable_files()]
    if not settings.DEVELOPMENT:
        found += [*check_secret_key(None), *check_secret_key_fallbacks(None)]
    for message in found:
        logger.warning("%s (%s)", message.msg, message.id)
    if "GUNICORN_PID" in os.environ or "LISTEN_FDS" in os.environ:
        return  # the listener is inherited
    for host, port in (address for address in server.cfg.address if isinstance(address, tuple)):
        reason = ports.why_unusable(host, port)
        if reason:
            sys.exit(f"pacsync: {reason}")


def when_ready(server: Any) -> None:
    """The listener is open: put the drain before gunicorn's handlers of SIGTERM and SIGINT."""
    arbiter.wrap(server)
    for listener in server.LISTENERS[:1]:
        shared, name = memory.current(), listener.sock.getsockname()
        shared.address = ports.format_address(name)
        shared.header.port = name[1] if isinstance(name, tuple) else shared.header.port
    for number, handler in ((signal.SIGTERM, _on_signal), (signal.SIGINT, _on_signal), (signal.SIGQUIT, _on_quit)):
        state.handlers[number] = signal.getsignal(number)
        signal.signal(number, handler)
    signal.signal(signal.SIGALRM, _on_drained)
    # Signals since the start were held back (deploy/entrypoint.sh): now they have handlers.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
    for number in (signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, _keep_workers)
    signal.signal(signal.SIGUSR2, _keep_master)


def _keep_workers(number: int, frame: FrameType | None) -> None:
    """Ignore SIGTTIN and SIGTTOU: WEB_CONCURRENCY fixes the shares of the database connections at the start."""
    logger.warning("%s ignored: the number of workers is WEB_CONCURRENCY", signal.Signals(number).name)


def _keep_master(number: int, frame: FrameType | None) -> None:
    """Ignore SIGUSR2: a second master would have its own database connections, and its own row in the registry."""
    logger.warning("SIGUSR2 ignored: there is no upgrade in place; start another instance, then stop this one")


def _on_signal(number: int, frame: FrameType | None) -> None:
    header = memory.current().header
    if header.signal_at:
        if number == signal.SIGINT:
            signal.setitimer(signal.ITIMER_REAL, 0)
            shutdown.stop()
            state.handlers[signal.SIGINT](signal.SIGINT, frame)
        return
    shutdown.begin(number, settings.SHUTDOWN_TIMEOUT)
    # The time that an earlier `manage.py drain` has already waited counts.
    left = settings.SHUTDOWN_DRAIN_DELAY - (time.monotonic() - phase.began(memory.current()))
    if left > 0:
        signal.setitimer(signal.ITIMER_REAL, left)
    else:
        _on_drained(number, frame)


def _on_quit(number: int, frame: FrameType | None) -> None:
    """Stop at once, without a drain and without waiting for requests; cleanup tasks have worker_hooks.QUICK_EXIT."""
    shutdown.begin(number, settings.SHUTDOWN_TIMEOUT)
    signal.setitimer(signal.ITIMER_REAL, 0)
    shutdown.stop()
    state.handlers[number](number, frame)


def _on_drained(number: int, frame: FrameType | None) -> None:
    shutdown.stop()
    state.handlers[signal.SIGTERM](signal.SIGTERM, frame)


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker its slot, and close the master's database connections, which a child must not share."""
    facade.close_before_fork()
    shared = memory.current()
    # By slot, not by pid: a child that has just been forked has not written its pid yet.
    held = {sibling.slot for sibling in server.WORKERS.values()}
    for slot in shared.live():
        if slot.index not in held:
            slot.release()  # of a worker that ended without `child_exit`
    slot = shared.free_slot(_shares_of_those_that_stay(server, shared))
    slot.claim(os.getpid())
    worker.slot = slot.index


def _shares_of_those_that_stay(server: Any, shared: memory.Memory) -> set[int]:
    """The shares of the budget that the new worker must not have: those of the youngest, which outlive a reload.

    A worker that has been replaced, or asks to be, gives its share to the new one.
    """
    slots = {sibling.slot: shared.slot(sibling.slot) for sibling in server.WORKERS.values()}
    stay = [
        one for one in server.WORKERS.values() if not (slots[one.slot].wants_replacement or slots[one.slot].retired)
    ]
    by_age = sorted(stay, key=lambda sibling: sibling.age)
    youngest = by_age[max(0, len(by_age) - shared.workers + 1) :]
    return {sibling.slot % shared.workers for sibling in youngest}


def child_exit(server: Any, worker: Any) -> None:
    """Free the slot, and keep what the worker reported."""
    slot = memory.current().slot(worker.slot)
    arbiter.worker_ended(server, worker, ready=bool(slot.ready))
    _collect(slot)


def _collect(slot: Slot) -> None:
    if phase.current() is phase.Phase.STOPPING:
        report = slot.shutdown_report()
        if report is None:
            state.killed += slot.ready  # one that was still loading had nothing to finish
            lost = Counter(name for name, _ in slot.tracked())
            if slot.in_flight > 0:
                lost["requests"] = slot.in_flight
            report = {"pid": slot.pid, "abandoned": dict(lost)}
        outcomes = tuple(CleanupResult(**outcome) for outcome in report.pop("cleanup", ()))
        state.reports.append(ShutdownReport(**report, cleanup=outcomes))
    slot.release()


def on_exit(server: Any) -> None:
    """The master's last act: log the one line that says how the shutdown went."""
    shutdown.begin(0, settings.SHUTDOWN_TIMEOUT)
    shutdown.stop()
    for slot in memory.current().live():
        _collect(slot)
    shutdown.log(state.reports, killed=state.killed)
    if memory.current().header.signal:
        shutdown.end_process()  # the interpreter's own end takes a second on a busy machine, past the deadline
