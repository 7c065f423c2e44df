"""The shutdown of one process: wait for tracked work, clean up, account for it. It must not know gunicorn.

Under gunicorn hooks.py calls `finish` in each worker; elsewhere (runserver, a long management command)
`setup_graceful_shutdown` installs the signal handlers.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from types import FrameType
from typing import Any

from apps.lifecycle import board, cleanup, dbpool, loops, memory, phase, tracking
from apps.lifecycle.cleanup import Outcome
from apps.lifecycle.phase import Phase

logger = logging.getLogger(__name__)

EXIT_MARGIN = 0.5  # seconds before the deadline by which a process is done, so that the master can reap it


@dataclass(frozen=True)
class ShutdownStatus:
    """How far the shutdown is. Times in Unix seconds; `waiting_for` is what is under way, by name, with its count."""

    phase: Phase
    signal: str
    started: float
    deadline: float | None
    waiting_for: dict[str, int]


@dataclass(frozen=True)
class Account:
    """What one process did to end: what it waited for, what it left behind, which cleanup tasks it ran."""

    pid: int
    waited_for: dict[str, int] = field(default_factory=dict)
    abandoned: dict[str, int] = field(default_factory=dict)
    cleanup: tuple[Outcome, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def status() -> ShutdownStatus | None:
    """The state of the shutdown or the drain, None while there is none. The same in every worker."""
    present = board.snapshot()
    if present.phase not in (Phase.DRAINING, Phase.STOPPING):
        return None
    times = memory.current()
    number = times.integers[memory.SIGNAL]
    began = times.floats[memory.SIGNAL_AT] or times.floats[memory.DRAIN_REQUESTED_AT]
    return ShutdownStatus(
        phase=present.phase,
        signal=signal.Signals(number).name if number else "",
        started=phase.wall(began) if began else present.phase_since,
        deadline=present.deadline,
        waiting_for=dict(waiting_for(present)),
    )


def waiting_for(present: board.InstanceSnapshot) -> Counter[str]:
    """What the instance has under way, by name."""
    found = Counter(name for name, _ in present.tracked)
    if present.in_flight:
        found["requests"] = present.in_flight
    return found


def under_way() -> Counter[str]:
    """What this process has under way, by name."""
    found = tracking.present()
    requests = memory.mine().in_flight
    if requests > 0:
        found["requests"] = requests
    return found


def begin(number: int, timeout: float) -> None:
    """A signal asks the instance to end within `timeout` seconds. The first one counts."""
    times = memory.current()
    if not times.floats[memory.SIGNAL_AT]:
        now = time.monotonic()
        times.integers[memory.SIGNAL] = number
        times.floats[memory.DEADLINE] = now + timeout
        times.floats[memory.SIGNAL_AT] = now


def stop() -> None:
    """The drain is over."""
    times = memory.current().floats
    times[memory.STOPPING_AT] = times[memory.STOPPING_AT] or time.monotonic()


def reserve(seconds: float) -> float:
    """How much of `seconds` is kept for the cleanup: a quarter, 5 seconds at most."""
    return min(5.0, seconds / 4)


def finish(*, until: float, waited_for: Counter[str] | None = None, wait_until: float | None = None) -> Account:
    """End this process's work by the monotonic time `until`: wait, stop the loops, clean up, close the dbpool.

    Work is waited for until the monotonic time `wait_until`, by default `reserve()` before; the rest is the cleanup's.
    """
    memory.mine().leave()
    waited = waited_for or under_way()
    if wait_until is None:
        wait_until = until - reserve(max(0.0, until - time.monotonic()))
    loops_left = loops.stop()  # no new step; those under way are tracked work or short
    tracking.wait(max(0.0, wait_until - time.monotonic()))
    _wait_for_requests(wait_until)
    loops_left = loops.stop(0) or loops_left
    abandoned = under_way()
    if abandoned:
        logger.warning("shutdown: abandoned %s", dict(abandoned))
    dbpool.cancel()  # nobody waits for it any more, and the cleanup tasks need connections
    cleanup.register_cleanup_task(dbpool.shut, name="dbpool", last=True)
    outcomes = cleanup.run(max(0.1, until - time.monotonic()))
    return Account(os.getpid(), dict(waited), dict(abandoned), tuple(outcomes))


def _wait_for_requests(until: float) -> None:
    while memory.mine().in_flight > 0 and time.monotonic() < until:
        time.sleep(0.02)


class ShutdownHandler:
    """Ends this process gracefully on SIGTERM and SIGINT; a second SIGINT ends it at once.

    `requested` is set at the first signal: a main loop may watch it and return, the rest then happens at exit.
    """

    def __init__(self, shutdown_timeout: float) -> None:
        self.timeout = shutdown_timeout
        self.requested = threading.Event()
        self._finished = threading.Lock()
        self.account: Account | None = None

    operation_context = staticmethod(tracking.operation_context)
    register_cleanup_task = staticmethod(cleanup.register_cleanup_task)
    status = staticmethod(status)

    def install(self) -> None:
        """Take the signals over. ValueError outside the main thread."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested.is_set():
            if number == signal.SIGINT:
                os._exit(130)
            return
        begin(number, self.timeout)
        self.requested.set()
        # In a thread: the handler interrupts the main thread, which may be in the very work that is waited for.
        threading.Thread(target=self._end, name="shutdown").start()

    def _end(self) -> None:
        self.shutdown()
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # the main thread may be stuck; all that had to be done is done

    def shutdown(self) -> Account:
        """Wait for tracked work and clean up, once, within the timeout; what happened."""
        with self._finished:
            if self.account is None:
                begin(0, self.timeout)
                stop()
                until = memory.current().floats[memory.DEADLINE] - EXIT_MARGIN
                self.account = finish(until=until)
                log([self.account], killed=0)
            return self.account


def setup_graceful_shutdown(shutdown_timeout: float = 30) -> ShutdownHandler:
    """Handle SIGTERM and SIGINT in a process that gunicorn doesn't manage; call it in the main thread."""
    handler = ShutdownHandler(shutdown_timeout)
    handler.install()
    return handler


def log(accounts: list[Account], *, killed: int) -> None:
    """The one line that tells how the shutdown went."""
    times = memory.current()
    now = time.monotonic()
    began = times.floats[memory.SIGNAL_AT] or now
    stopping = times.floats[memory.STOPPING_AT] or now
    number = times.integers[memory.SIGNAL]
    details = {
        "signal": signal.Signals(number).name if number else "",
        "drained_seconds": round(stopping - began, 3),
        "stopped_seconds": round(now - stopping, 3),
        "total_seconds": round(now - began, 3),
        "waited_for": _sum(account.waited_for for account in accounts),
        "abandoned": _sum(account.abandoned for account in accounts),
        "cleanup_tasks": _sum({outcome.name: 1} for account in accounts for outcome in account.cleanup),
        "cleanup_failed": sorted({o.name for account in accounts for o in account.cleanup if o.error}),
        "workers_killed": killed,
    }
    text = " ".join(f"{name}={value}" for name, value in details.items())
    logger.info("shutdown complete: %s", text, extra={"shutdown": details})


def _sum(parts: "Any") -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)
