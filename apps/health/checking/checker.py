"""Runs the checks in rounds and keeps the last results, so that no probe ever waits for the database (ADR 48).

A round is a short-lived thread with a deadline. Once that has passed, nothing counts as healthy. After a longer one
another round may begin; at most two run at the same time. It must not know what a check does or how its results are
shown.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from apps.health.checking.execution import run_check, skipped, text_of, unexpected
from apps.health.checking.results import HEALTHY, CheckOutcome, CheckResults, CheckStatus, Deadline
from apps.health.checks.registered import CHECKS, Impact, RegisteredCheck

logger = logging.getLogger(__name__)

FRESH = 1.0
"""Seconds for which results are fresh. A probe that finds older ones begins a round, but doesn't wait for it."""
PAUSE = FRESH / 2
"""The least number of seconds between two rounds, whoever asks for them."""
RETRY = 1.0
"""Seconds between rounds while something is wrong, so that recovery is noticed at once even if nobody asks."""
BETWEEN = 5.0
"""Seconds that a round may take to start, to go from one check to the next, and to end."""
SECOND_TRY = 10.0
"""Seconds after a round's deadline when another one may begin: perhaps only the first one's connection is dead."""
MAX_ROUNDS = 2
"""Rounds at the same time. A round that hangs holds its connection for as long as it hangs."""
HISTORY = 30
"""How many outcomes of each check are kept."""

Observer = Callable[[str, CheckOutcome], None]


class Checker:
    """`start()` once in a process that serves, and `tick()` several times a second. `ask()` is the probe's part."""

    def __init__(
        self,
        *,
        interval: float,
        checks: Sequence[RegisteredCheck] = CHECKS,
        observe: Observer | None = None,
        after_round: "Callable[[Checker], None] | None" = None,
    ) -> None:
        """`interval`: seconds between rounds. `observe` gets each outcome, `after_round` the checker."""
        self.interval = interval
        self.checks = tuple(checks)
        self.results = CheckResults(self.checks, {})
        self.history: dict[str, deque[CheckOutcome]] = {item.name: deque(maxlen=HISTORY) for item in checks}
        self.errors: dict[str, str] = {}  # what failed checks said: for the operator at the command line only
        self.running = False
        self.wanted = False  # whether an error elsewhere asks for a round
        self.rounds = 0  # threads that are alive, including those that hang
        self._observe = observe
        self._after_round = after_round
        self._newest = 0  # the number of the round whose results count
        self._owed: int | None = None  # the number of the round that got no thread: `tick()` does it
        self._threads = True  # whether the last thread could be started
        self._reported: Deadline | None = None  # the missed deadline that has already been logged
        self._lock = threading.Lock()  # never held while anything runs that may hang
        self._ended = threading.Condition()  # notified after each round

    # --- for probes: no waiting ------------------------------------------------------------------------------------
    def current(self) -> CheckResults:
        """The results as of now."""
        return self.results.as_of(time.monotonic())

    def ask(self) -> CheckResults:
        """`current()`, and begin a round if that is no longer fresh."""
        if not self.fresh:
            self._report_missed()
            self._begin()
        return self.current()

    def wake(self) -> None:
        """Have the checks run soon, because something went wrong elsewhere. Any number of calls makes one round."""
        self.wanted = True
        self._begin()

    def await_round(self, seconds: float) -> None:
        """`ask()`, and wait at most `seconds` for fresh results: for reports, never for a probe."""
        self.ask()
        if self.running:
            with self._ended:
                self._ended.wait_for(self._nothing_to_wait_for, timeout=seconds)

    def _nothing_to_wait_for(self) -> bool:
        results = self.results
        return self.fresh or results.as_of(time.monotonic()) is not results

    @property
    def fresh(self) -> bool:
        """Whether a round has just ended."""
        return time.monotonic() - self.results.finished <= FRESH

    # --- when a round begins ---------------------------------------------------------------------------------------
    def start(self) -> None:
        """Begin the first round."""
        self.running = True
        self._begin()

    def stop(self, seconds: float = 0) -> None:
        """Begin no more rounds, and wait at most `seconds` for those under way. Their threads are daemon threads.

        What they find from now on doesn't count, because this process closes its database connections.
        """
        with self._lock:
            self.running = False
            self._drop_owed()
            self._newest += 1
            self.results = replace(self.results, deadline=None)
        with self._ended:
            self._ended.wait_for(lambda: self.rounds == 0, timeout=seconds)

    def tick(self) -> None:
        """Begin a round if one is due, and report a missed deadline. Does the round itself if no thread can be started.

        So call it in a thread that may wait, and never for a probe.
        """
        self._report_missed()
        now, results = time.monotonic(), self.results
        works = results.status is CheckStatus.HEALTHY
        if self.wanted or now - results.finished >= (self.interval if works else min(RETRY, self.interval)):
            self._begin()
        with self._lock:
            owed, self._owed = self._owed, None
        if owed is not None:
            self._run(owed)

    def step(self) -> None:
        """One round in the calling thread."""
        with self._lock:
            number = self._claim(time.monotonic())
        self._round_to_its_end(number)

    def _begin(self) -> None:
        """Begin a round in a thread of its own, if one may begin."""
        if not self._lock.acquire(blocking=False):
            return  # another thread is beginning one, or a round is under way: a later probe asks again
        try:
            now = time.monotonic()
            if self._may_begin(now):
                self._start_thread(self._claim(now))
        finally:
            self._lock.release()

    def _may_begin(self, now: float) -> bool:
        if not self.running or self.rounds >= MAX_ROUNDS:
            return False
        deadline = self.results.deadline
        return now > deadline.at + SECOND_TRY if deadline else now - self.results.finished >= PAUSE

    def _claim(self, now: float) -> int:
        """The number of a new round: from now on only its results count. Hold the lock."""
        if self.results.deadline:
            logger.warning("a round of the health checks hangs: beginning another one")
        self.wanted = False
        self.rounds += 1
        self._newest += 1
        self.results = replace(self.results.as_of(now), deadline=Deadline("", now + BETWEEN))
        return self._newest

    def _start_thread(self, number: int) -> None:
        thread = threading.Thread(target=self._run, args=(number,), name=f"health-round-{number}", daemon=True)
        self._drop_owed()
        try:
            thread.start()
            self._threads = True
        except RuntimeError as error:
            self._owed = number  # its deadline goes on: if `tick()` isn't called any more, that shows
            if self._threads:
                logger.error("no thread can be started for the health checks (%s): their clock does them itself", error)
            self._threads = False

    def _drop_owed(self) -> None:
        if self._owed is not None:
            self._owed = None
            self.rounds -= 1

    # --- one round -------------------------------------------------------------------------------------------------
    def _run(self, number: int) -> None:
        try:
            self._round_to_its_end(number)
        except BaseException:  # the edge of a thread, and even SystemExit is a fault here
            logger.exception("a round of the health checks broke off")

    def _round_to_its_end(self, number: int) -> None:
        whole = False
        try:
            self._round(number)
            whole = True
        finally:
            self._end_round(number, whole)

    def _end_round(self, number: int, whole: bool) -> None:
        """The round is over. If it broke off, nothing is known any more: a check's own error would be an outcome."""
        with self._lock:
            self.rounds -= 1
            if number == self._newest:
                self.results = replace(self.results, deadline=None) if whole else self._broken_off()
        with self._ended:
            self._ended.notify_all()

    def _broken_off(self) -> CheckResults:
        return replace(self.results.without_checker, finished=time.monotonic())

    def _round(self, number: int) -> None:
        database_works = True
        for item in self.checks:
            if not self._move_on(number, Deadline(item.name, time.monotonic() + item.limit)):
                return
            outcome, error = run_check(item) if database_works or not item.needs_database else skipped()
            if not self._publish(number, item, outcome, error):
                return
            if item.impact is Impact.DATABASE:
                database_works = outcome.status.works
        with self._lock:
            if number != self._newest:
                return
            self.results = replace(self.results, complete=True, finished=time.monotonic(), stalled=False)
        with self._ended:
            self._ended.notify_all()
        if self._after_round:
            self._after_round(self)

    def _move_on(self, number: int, deadline: Deadline) -> bool:
        """Go on to what has this deadline; False if this round no longer counts."""
        with self._lock:
            if number != self._newest:
                return False
            self.results = replace(self.results, deadline=deadline)
        return True

    def _publish(self, number: int, item: RegisteredCheck, outcome: CheckOutcome, error: Exception | None) -> bool:
        """Keep the outcome; False if another round has begun since."""
        with self._lock:
            if number != self._newest:
                return False
            before = self.results.outcomes.get(item.name, HEALTHY)
            outcomes = {**self.results.outcomes, item.name: outcome}
            self.results = replace(self.results, outcomes=outcomes, deadline=Deadline("", time.monotonic() + BETWEEN))
            self.history[item.name].append(outcome)
            self.errors.pop(item.name, None)
            if error:
                self.errors[item.name] = text_of(error)
        if before[:2] != outcome[:2]:  # each change once, not each round
            _log_change(item.name, outcome, error)
        if self._observe:
            self._observe(item.name, outcome)
        return True

    def _report_missed(self) -> None:
        """Report a missed deadline once: to the log, and that of a check to `after_round`, since it may never end.

        Between checks it may be `after_round` that hangs, and a probe must not call it then.
        """
        results = self.results
        deadline = results.deadline
        if deadline is None or deadline is self._reported or results.as_of(time.monotonic()) is results:
            return
        self._reported = deadline
        if deadline.check:
            logger.warning("health check %s: unhealthy timed_out, and still under way", deadline.check)
            if self._after_round:
                self._after_round(self)
        else:
            logger.warning("a round of the health checks is stuck")


def _log_change(name: str, outcome: CheckOutcome, error: Exception | None) -> None:
    level = logging.INFO if outcome.status is CheckStatus.HEALTHY else logging.WARNING
    what = dict.fromkeys((outcome.status, outcome.problem))  # the status of one that isn't initialized says it all
    text = f"health check {name}: {' '.join(what)}".strip()
    if error:
        text += f": {' '.join(text_of(error).split())}"
    logger.log(level, "%s", text, exc_info=unexpected(error))
