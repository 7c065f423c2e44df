"""The shutdown of one process: wait for tracked work, clean up, report what happened. It must not know gunicorn.

The timeline of an instance under gunicorn, where T is the time of the first SIGTERM or SIGINT:

    T           The master notes signal and deadline = T + SHUTDOWN_TIMEOUT in the shared memory (`begin`, called by
                gunicorn/master_hooks.py). From now on the phase is `draining` in every worker: readiness is 503, an
                answer closes its connection (worker_hooks.pre_request), loops and chores begin no step (work/loops.py),
                except those that are registered with `while_draining`. Everything is still served, new connections too.
    drained     T + SHUTDOWN_DRAIN_DELAY, or at once if `manage.py drain` has already waited that long. The master
                notes that the phase is `stopping` (`stop`), and lets gunicorn send SIGTERM to its workers (arbiter.py).
                A worker accepts whoever is already connected, and closes its listener. The last one first has the
                kernel drop new connections (listeners.drop_new_connections), and accepts for 0.1 s those that are
                being made (graceful_exit.SETTLE). Once the listener is closed, the kernel refuses new connections.
                A connection without a request ends after 2 s (gthread.STOP_KEEPALIVE_LINGER), one that the worker ends
                after 0.5 s (connections.LINGER / 4).
    waited      deadline - EXIT_MARGIN - the reserve. Until then a worker waits for its requests; then `finish` stops
                its loops and waits for tracked work.
                The reserve is a quarter of what was left when the worker got its SIGTERM, 5 s at most (`reserve`).
                gunicorn checks its limit once a second, so it gets 1 s less (worker_hooks.LIMIT_CHECK_INTERVAL).
                A worker that has nothing to wait for continues at once.
    cleaned up  deadline - EXIT_MARGIN. Until then `finish` reports as `abandoned` what still runs, cancels the worker's
                database queries (0.5 s at most), and runs the cleanup tasks in reverse order of registration
                (work/cleanup.py). One that hangs gets half of the time that is left. The checker's task waits 0.2 s for
                a round under way (process_checker.STOP_SECONDS). Last it closes the dbpool, whose threads get 1 s
                (PostgresqlDbpool.close_for_good). The worker leaves its ShutdownReport in its slot, and exits.
    killed      deadline - 0.3 s (arbiter.KILL_MARGIN). The master kills the workers that are left.
    T + SHUTDOWN_TIMEOUT   At the latest: the master has written the one line of `log`, and exits with 0.

A SIGINT after the first signal, or a SIGQUIT at any time, ends the drain and the waiting: a worker has 1.5 s for its
cleanup (worker_hooks.QUICK_EXIT). The master kills it 5 s later (arbiter.QUICK_LIMIT), or after `drained` 2 s later, as
gunicorn does, and at `killed` at the latest. Further SIGTERMs change nothing.

A worker that has been replaced ends without this timeline. After closing the dbpool it waits up to 1 s for its backends
to end (closing.GONE), since its successor opens its own.

A program of your own that runs without gunicorn, such as a long management command, calls `setup_graceful_shutdown`.
Its signal handlers do the same in one process, without the drain. A SIGINT after the first signal ends that process at
once.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from types import FrameType
from typing import Any, NoReturn

from apps.lifecycle.dbpool import facade
from apps.lifecycle.shared_memory import memory, phase, snapshots
from apps.lifecycle.shared_memory.phase import Phase
from apps.lifecycle.work import cleanup, loops, tracked_work
from apps.lifecycle.work.cleanup import CleanupResult

logger = logging.getLogger(__name__)

EXIT_MARGIN = 0.5  # seconds before the deadline at which a process is done, so that the master has time to reap it


@dataclass(frozen=True)
class ShutdownStatus:
    """How far the shutdown has got. Times are in Unix seconds; `waiting_for` counts what is under way, by name."""

    phase: Phase
    signal: str
    started: float
    deadline: float | None
    waiting_for: dict[str, int]


@dataclass(frozen=True)
class ShutdownReport:
    """How one process ended: what it waited for, what it left behind, which cleanup tasks it ran."""

    pid: int
    waited_for: dict[str, int] = field(default_factory=dict)
    abandoned: dict[str, int] = field(default_factory=dict)
    cleanup: tuple[CleanupResult, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class _State:
    finishing: bool = False  # `finish` is under way
    hurried_until: float | None = None  # the monotonic time by which it must have ended since `hurry`


_state = _State()


def status() -> ShutdownStatus | None:
    """The status of the shutdown or drain; None if there is neither. It is the same in every worker."""
    current = snapshots.snapshot()
    if current.phase not in (Phase.DRAINING, Phase.STOPPING):
        return None
    header = memory.current().header
    number = header.signal
    began = header.signal_at or header.drain_requested_at
    return ShutdownStatus(
        phase=current.phase,
        signal=signal.Signals(number).name if number else "",
        started=phase.wall(began) if began else current.phase_since,
        deadline=current.deadline,
        waiting_for=dict(current.in_progress),
    )


def under_way() -> Counter[str]:
    """What this process has under way, by name."""
    found = tracked_work.in_progress()
    requests = memory.mine().in_flight
    if requests > 0:
        found["requests"] = requests
    return found


def begin(number: int, timeout: float) -> None:
    """Signal `number` (0 for none) asks the instance to end within `timeout` seconds. The first one counts."""
    header = memory.current().header
    if not header.signal_at:
        now = time.monotonic()
        header.signal = number
        header.deadline = now + timeout
        header.signal_at = now


def stop() -> None:
    """The drain is over."""
    header = memory.current().header
    header.stopping_at = header.stopping_at or time.monotonic()


def reserve(seconds: float) -> float:
    """How much of `seconds` is kept for the cleanup: a quarter, at most 5 seconds."""
    return min(5.0, seconds / 4)


def finish(*, until: float, waited_for: Counter[str] | None = None, wait_until: float | None = None) -> ShutdownReport:
    """End this process's work by the monotonic time `until`: wait, stop the loops, clean up, close the dbpool.

    It waits for work until the monotonic time `wait_until`, by default `reserve()` before; the rest is for the cleanup.
    """
    _state.finishing = True
    memory.mine().begin_cleanup()
    waited = waited_for or under_way()
    if wait_until is None:
        wait_until = until - reserve(max(0.0, until - time.monotonic()))
    loops.stop()  # no new step; those under way are tracked work or short
    _wait_for_work(wait_until)
    abandoned = under_way()
    if abandoned:
        logger.warning("shutdown: abandoned %s", dict(abandoned))
    facade.cancel()  # nobody waits for the queries any more, and the cleanup tasks need connections
    cleanup.register_cleanup_task(facade.close_for_good, name="dbpool", last=True)
    outcomes = cleanup.run(max(0.1, min(until, _state.hurried_until or until) - time.monotonic()))
    return ShutdownReport(os.getpid(), dict(waited), dict(abandoned), tuple(outcomes))


def _wait_for_work(until: float) -> None:
    while under_way() and _state.hurried_until is None and time.monotonic() < until:
        time.sleep(0.02)


def hurry(seconds: float) -> bool:
    """Have a `finish` that is under way wait no longer, and clean up within `seconds`; False if none is.

    A signal handler may call it.
    """
    if _state.finishing:
        _state.hurried_until = time.monotonic() + seconds
    return _state.finishing


def end_process() -> NoReturn:
    """End this process at once with 0; what was logged is written."""
    with contextlib.suppress(OSError, ValueError):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


class ShutdownHandler:
    """Ends this process gracefully on SIGTERM and SIGINT. A SIGINT after the first signal ends it at once.

    `requested` is set at the first signal. A main loop may watch it and return; the rest happens at the exit.
    """

    def __init__(self, shutdown_timeout: float) -> None:
        self.timeout = shutdown_timeout
        self.requested = threading.Event()
        self._signalled = False  # `requested` for the signal handler
        self._finished = threading.Lock()
        self.report: ShutdownReport | None = None

    operation_context = staticmethod(tracked_work.operation_context)
    register_cleanup_task = staticmethod(cleanup.register_cleanup_task)
    status = staticmethod(status)

    def install(self) -> None:
        """Handle SIGTERM and SIGINT from now on. Raises ValueError outside the main thread."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            if number == signal.SIGINT:
                os._exit(130)
            return
        self._signalled = True
        begin(number, self.timeout)
        # In a thread: the handler interrupts the main thread, which may be doing the very work that this waits for, or
        # hold the lock of `requested`.
        threading.Thread(target=self._end, name="shutdown").start()

    def _end(self) -> None:
        self.requested.set()
        self.shutdown()
        end_process()  # the main thread may be stuck, and everything that had to be done is done

    def shutdown(self) -> ShutdownReport:
        """Wait for tracked work and clean up, once, within the timeout; returns what happened."""
        with self._finished:
            if self.report is None:
                begin(0, self.timeout)
                stop()
                until = memory.current().header.deadline - EXIT_MARGIN
                self.report = finish(until=until)
                log([self.report], killed=0)
            return self.report


def setup_graceful_shutdown(shutdown_timeout: float = 30) -> ShutdownHandler:
    """Handle SIGTERM and SIGINT in a process that gunicorn doesn't manage; call it in the main thread."""
    handler = ShutdownHandler(shutdown_timeout)
    handler.install()
    return handler


def log(reports: list[ShutdownReport], *, killed: int) -> None:
    """Log the one line that says how the shutdown went."""
    header = memory.current().header
    now = time.monotonic()
    began = header.signal_at or now
    stopping = header.stopping_at or now
    number = header.signal
    details = {
        "signal": signal.Signals(number).name if number else "",
        "drained_seconds": round(stopping - began, 3),
        "stopped_seconds": round(now - stopping, 3),
        "total_seconds": round(now - began, 3),
        "waited_for": _sum(report.waited_for for report in reports),
        "abandoned": _sum(report.abandoned for report in reports),
        "cleanup_tasks": _sum({outcome.name: 1} for report in reports for outcome in report.cleanup),
        "cleanup_failed": sorted({o.name for report in reports for o in report.cleanup if o.error}),
        "workers_killed": killed,
    }
    text = " ".join(f"{name}={value}" for name, value in details.items())
    logger.info("shutdown complete: %s", text, extra={"shutdown": details})


def _sum(parts: "Any") -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)
