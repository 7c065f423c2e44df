"""Runs the checks in a thread of its own and keeps the last results, so that no probe ever waits for the database.

It must not know what a check does, nor how its results are shown.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from apps.health.checks import CHECKS, Registered, Role
from apps.health.execution import run_check, skipped, text_of, unexpected
from apps.health.results import HEALTHY, Flight, Outcome, Snapshot, Status

logger = logging.getLogger(__name__)

FRESH = 1.0
"""Seconds for which a result is fresh. A probe that finds an older one wakes the checker, and doesn't wait for it."""
RETRY = 1.0
"""Seconds between rounds while something is wrong, so that recovery is seen at once also when nobody asks."""
SECOND_TRY = 10.0
"""Seconds past its limit after which a stuck check gets a rival: perhaps only its own connection is dead."""
ANSWER = 5.0
"""Seconds within which the thread must go on, once woken or after a check. Else nothing is known any more."""
MAX_THREADS = 2
"""Threads at the same time. A stuck one holds its connection for as long as it is stuck."""
HISTORY = 30
"""How many outcomes of each check are kept."""

NEVER = float("inf")

Observer = Callable[[str, Outcome], None]


class Checker:
    """`start()` once in a process that serves, then `snapshot` at any time; `ask()` is the probe's part."""

    def __init__(
        self,
        *,
        interval: float,
        checks: Sequence[Registered] = CHECKS,
        observe: Observer | None = None,
        after_round: "Callable[[Checker], None] | None" = None,
    ) -> None:
        self.interval = interval
        self.checks = tuple(checks)
        self.snapshot = Snapshot(self.checks, {})
        self.history: dict[str, deque[Outcome]] = {item.name: deque(maxlen=HISTORY) for item in checks}
        self.errors: dict[str, str] = {}  # what failed checks said: for the operator at the command line only
        self._observe = observe
        self._after_round = after_round
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._ended = threading.Condition()  # notified after each round
        self._due = NEVER  # when the thread must have gone on
        self._generation = 0  # of the thread whose results count
        self._revived_at = -NEVER
        self._told: Flight | None = None  # which one the log has been told of
        self._thread: threading.Thread | None = None
        self._threads = 0  # that are alive, stuck ones included

    # --- asked by probes: no lock and no waiting -------------------------------------------------------------------
    def current(self) -> Snapshot:
        """The results as of now: in them a check in flight past its limit is unhealthy.

        And all of them are when the checker itself doesn't work.
        """
        return self._as_of(self.snapshot, time.monotonic())

    def _as_of(self, snapshot: Snapshot, now: float) -> Snapshot:
        if now > snapshot.overdue_at:
            return snapshot.overdue
        if now > self._due and snapshot.flight is None:
            return snapshot.without_checker
        return snapshot

    def ask(self) -> Snapshot:
        """`current()`, and wake the checker when that is not fresh any more."""
        snapshot = self.snapshot
        now = time.monotonic()
        if now - snapshot.finished > FRESH:
            self.wake()
            if self._thread is not None and not self._thread.is_alive():
                self._revive()
        found = self._as_of(snapshot, now)
        if found is snapshot:
            return found
        if self._told is not snapshot.flight and snapshot.flight:
            self._told = snapshot.flight
            logger.warning("health check %s: unhealthy timed_out, and still under way", snapshot.flight.name)
            self._tell()
        if now > min(snapshot.overdue_at, self._due) + SECOND_TRY:
            self._start_rival(snapshot)
        return found

    def await_round(self, seconds: float) -> None:
        """`ask()`, and wait `seconds` at most for fresh results: for reports, never for a probe."""
        self.ask()
        if self.running:
            with self._ended:
                self._ended.wait_for(self._nothing_to_wait_for, timeout=seconds)

    def _nothing_to_wait_for(self) -> bool:
        snapshot = self.snapshot
        return self.fresh or self._as_of(snapshot, time.monotonic()) is not snapshot

    def wake(self) -> None:
        """Have the checks run soon, because something went wrong elsewhere. Any number of calls make one round."""
        if self._due == NEVER and self._thread is not None:
            self._due = time.monotonic() + ANSWER  # before it is woken, so that it is the thread that ends this
        self._wake.set()

    # --- the thread ------------------------------------------------------------------------------------------------
    @property
    def running(self) -> bool:
        return self._threads > 0 and not self._stop.is_set()

    @property
    def fresh(self) -> bool:
        """Whether a round has ended just now."""
        return time.monotonic() - self.snapshot.finished <= FRESH

    def start(self) -> None:
        """Start checking in a daemon thread."""
        with self._lock:
            self._stop.clear()
            self._start_thread()

    def stop(self, seconds: float = 0) -> None:
        """End the thread, and wait `seconds` for it. A stuck one is left behind: it is a daemon and holds up nobody."""
        self._stop.set()
        self._due = NEVER
        self._wake.set()
        thread = self._thread
        if thread and thread is not threading.current_thread():
            thread.join(seconds)

    def step(self) -> None:
        """One round in the calling thread."""
        self._round(self._generation)

    def _start_rival(self, seen: Snapshot) -> None:
        """A second thread beside a stuck one, whose results don't count from now on."""
        with self._lock:
            # `seen` again: of all probes that come here only the first one starts a rival.
            if self._threads >= MAX_THREADS or self.snapshot is not seen or self._stop.is_set():
                return
            now = time.monotonic()
            logger.warning("the health checks don't go on: starting another thread beside the stuck one")
            self.snapshot = replace(self._as_of(seen, now), finished=now)
            self._start_thread()

    def _revive(self) -> None:
        """Another thread in place of a dead one. Until it has done a round nothing is known."""
        with self._lock:
            now = time.monotonic()
            dead = self._thread is not None and not self._thread.is_alive()
            if not dead or self._stop.is_set() or now < self._revived_at + RETRY:
                return
            self._revived_at = now
            logger.error("the thread of the health checks has died: starting another one")
            self.snapshot = self.snapshot.without_checker
            self._start_thread()

    def _start_thread(self) -> None:
        self._generation += 1
        name = f"health-checker-{self._generation}"
        self._thread = threading.Thread(target=self._loop, args=(self._generation,), name=name, daemon=True)
        self._threads += 1
        try:
            self._thread.start()
        except RuntimeError:  # no more threads can be made: a later probe tries again
            self._threads -= 1
            logger.error("the thread of the health checks can't be started")

    def _loop(self, generation: int) -> None:
        try:
            while generation == self._generation and not self._stop.is_set():
                self._guarded_round(generation)
                self._pause()
        finally:
            with self._lock:
                self._threads -= 1

    def _guarded_round(self, generation: int) -> None:
        """A round, and nothing known when it breaks off: by an error of ours, since a check's own is its outcome."""
        try:
            self._round(generation)
        except Exception:
            logger.exception("a round of the health checks broke off")
            with self._lock:
                if generation == self._generation:
                    self.snapshot = replace(self.snapshot.without_checker, finished=time.monotonic())

    def _pause(self) -> None:
        works = self.snapshot.status is Status.HEALTHY
        self._wake.wait(self.interval if works else min(RETRY, self.interval))
        self._wake.clear()
        # Whoever wakes us, and however often: at least this long between two rounds.
        self._stop.wait(max(0.0, self.snapshot.finished + FRESH / 2 - time.monotonic()))

    def _round(self, generation: int) -> None:
        database_works = True
        for item in self.checks:
            outcome, error = self._one(item, generation) if database_works or not item.needs_database else skipped()
            if not self._publish(item, outcome, generation, error) or self._stop.is_set():
                return
            if item.role is Role.DATABASE:
                database_works = outcome.status.works
        with self._lock:
            if generation == self._generation:
                self._due = NEVER
                self.snapshot = replace(
                    self.snapshot, complete=True, finished=time.monotonic(), flight=None, stalled=False
                )
        with self._ended:
            self._ended.notify_all()
        self._tell()

    def _tell(self) -> None:
        if self._after_round:
            self._after_round(self)

    def _one(self, item: Registered, generation: int) -> tuple[Outcome, Exception | None]:
        flight = Flight(item.name, time.monotonic() + item.limit)
        with self._lock:
            if generation == self._generation:
                self._due = NEVER
                self.snapshot = replace(self.snapshot, flight=flight)
        return run_check(item)

    def _publish(self, item: Registered, outcome: Outcome, generation: int, error: Exception | None) -> bool:
        """Keep the outcome; False when a rival has taken over meanwhile."""
        with self._lock:
            if generation != self._generation:
                return False
            before = self.snapshot.outcomes.get(item.name, HEALTHY)
            outcomes = {**self.snapshot.outcomes, item.name: outcome}
            self._due = time.monotonic() + ANSWER
            self.snapshot = replace(self.snapshot, outcomes=outcomes, flight=None)
            self.history[item.name].append(outcome)
            self.errors.pop(item.name, None)
            if error:
                self.errors[item.name] = text_of(error)
        if before[:2] != outcome[:2]:  # each change once, not each round
            level = logging.INFO if outcome.status is Status.HEALTHY else logging.WARNING
            said = f"health check {item.name}: {outcome.status} {outcome.problem}".strip()
            if error:
                said += f": {' '.join(text_of(error).split())}"
            logger.log(level, "%s", said, exc_info=unexpected(error))
        if self._observe:
            self._observe(item.name, outcome)
        return True
