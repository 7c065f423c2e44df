"""gunicorn's hooks: when the phases change, in the master and in its workers. deploy/gunicorn.conf.py wires them.

The drain comes before the arbiter's own handling of SIGTERM: its handlers are kept, and called by a timer when the
drain is over. Until then listener, heartbeats and respawn stay as they are. Only documented hooks and the standard
`signal` interface are used here; what reaches into gunicorn's classes is in arbiter.py, reload.py, rollover.py and
worker.py.
"""

import contextlib
import logging
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections import Counter
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from django.conf import settings
from django.core.checks.security.base import check_secret_key

from apps.lifecycle import arbiter, dbpool, loops, memory, options, phase, ports, serving, shutdown
from apps.lifecycle.cleanup import Outcome
from apps.lifecycle.shutdown import Account

logger = logging.getLogger(__name__)

POLL = 1.0  # seconds between two looks of a gthread worker at its time limit
QUICK = 2.0  # seconds that a worker has after SIGQUIT or a second SIGINT
PROBES = ("/health", "/metrics")  # paths whose requests don't count for WEB_MAX_REQUESTS
# What may reach a worker because somebody sent it to the whole process group; only the master handles it.
MASTERS_OWN = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)

trying = False  # whether this process only tries out whether everything can be loaded (trial.py)


class _Master:
    """What the master keeps between its hooks: the arbiter's own handlers, and what ended workers reported."""

    kept: dict[int, Any] = {}
    accounts: list[Account] = []
    killed = 0


class _Worker:
    waited_for: Counter[str] = Counter()
    leaving = False
    wait_until: float | None = None  # the monotonic time until which requests and tracked work are waited for
    quick = False
    served, replace_after = 0, 0  # requests, and after how many of them this worker asks to be replaced (0: never)


# --- master -----------------------------------------------------------------------------------------------------


def prepare() -> None:
    """Make the board, once: before the application is loaded, so that it is there with `preload_app` too."""
    if memory.current().integers[memory.MASTER] != os.getpid() or not memory.current().integers[memory.PORT]:
        board = memory.Memory.create(workers=settings.WEB_CONCURRENCY, port=settings.HTTP_PORT, findable=not trying)
        memory.install(board)
        board.integers[memory.BUDGET] = settings.DB_POOL_MAX_SIZE
        board.integers[memory.ASKED_PORT] = options.asked_port()
        memory.current().floats[memory.DRAIN_DELAY] = settings.SHUTDOWN_DRAIN_DELAY  # `manage.py drain` waits for it


def on_starting(server: Any) -> None:
    """Say in one line that the port is taken, instead of trying for five seconds; warn of a key that can be guessed."""
    if not settings.DEVELOPMENT:
        for message in check_secret_key(None):
            logger.warning("%s (%s)", message.msg, message.id)
    if "GUNICORN_PID" in os.environ or "LISTEN_FDS" in os.environ:
        return  # the listener is inherited
    for host, port in (address for address in server.cfg.address if isinstance(address, tuple)):
        reason = ports.trouble(host, port)
        if reason:
            sys.exit(f"pacsync: {reason}")


def when_ready(server: Any) -> None:
    """Put the drain before the arbiter's handlers of SIGTERM and SIGINT."""
    arbiter.watch(server)
    for listener in server.LISTENERS[:1]:
        board, name = memory.current(), listener.sock.getsockname()
        board.address = ports.shown(name)
        board.integers[memory.PORT] = name[1] if isinstance(name, tuple) else board.integers[memory.PORT]
    _limit_slow_clients(server)
    for number, handler in ((signal.SIGTERM, _on_signal), (signal.SIGINT, _on_signal), (signal.SIGQUIT, _on_quit)):
        _Master.kept[number] = signal.getsignal(number)
        signal.signal(number, handler)
    signal.signal(signal.SIGALRM, _on_drained)
    # What came since the start was held back (deploy/entrypoint.sh): now it has a handler.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
    for number in (signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(number, _keep_workers)
    signal.signal(signal.SIGUSR2, _keep_master)


def _keep_workers(number: int, frame: FrameType | None) -> None:
    """One worker more or less would break the shares of the database connections, which are counted at the start."""
    logger.warning("%s ignored: the number of workers is WEB_CONCURRENCY", signal.Signals(number).name)


def _keep_master(number: int, frame: FrameType | None) -> None:
    """A second master would have database connections, and a row in the registry, of its own."""
    logger.warning("SIGUSR2 ignored: there is no upgrade in place; start another instance, then stop this one")


def _limit_slow_clients(server: Any) -> None:
    """A client that stalls in the middle of a request gives its thread back after REQUEST_READ_TIMEOUT.

    gunicorn reads with blocking sockets and no limit. The kernel's own timeouts, set on the listener, are inherited by
    every connection that is accepted from it (Linux: sk_clone copies them).
    """
    seconds, rest = divmod(settings.REQUEST_READ_TIMEOUT, 1)
    for listener in server.LISTENERS:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            listener.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(seconds), int(rest * 1e6)))


def _on_signal(number: int, frame: FrameType | None) -> None:
    times = memory.current().floats
    if times[memory.SIGNAL_AT]:
        if number == signal.SIGINT:
            signal.setitimer(signal.ITIMER_REAL, 0)
            shutdown.stop()
            _Master.kept[signal.SIGINT](signal.SIGINT, frame)
        return
    shutdown.begin(number, settings.SHUTDOWN_TIMEOUT)
    # What an earlier `manage.py drain` has already waited counts.
    left = settings.SHUTDOWN_DRAIN_DELAY - (time.monotonic() - phase.began(memory.current()))
    if left > 0:
        signal.setitimer(signal.ITIMER_REAL, left)
    else:
        _on_drained(number, frame)


def _on_quit(number: int, frame: FrameType | None) -> None:
    """At once: no drain, no request is waited for; cleanup tasks have QUICK seconds."""
    shutdown.begin(number, settings.SHUTDOWN_TIMEOUT)
    signal.setitimer(signal.ITIMER_REAL, 0)
    shutdown.stop()
    _Master.kept[number](number, frame)


def _on_drained(number: int, frame: FrameType | None) -> None:
    shutdown.stop()
    _Master.kept[signal.SIGTERM](signal.SIGTERM, frame)


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker its slot, and leave no database connection to share."""
    dbpool.close_before_fork()
    board = memory.current()
    # By slot, not by pid: a child that was forked just now has not written its pid yet.
    held = {sibling.slot for sibling in server.WORKERS.values()}
    for slot in board.live():
        if slot.index not in held:
            slot.release()  # of a worker that ended without `child_exit`
    slot = board.free_slot(_shares_of_those_that_stay(server, board))
    slot.claim(os.getpid())
    worker.slot = slot.index


def _shares_of_those_that_stay(server: Any, board: memory.Memory) -> set[int]:
    """The shares of the budget that the new worker must not have: those of the youngest, which outlive a reload.

    A worker that has been replaced, or asks to be, gives its share to the new one.
    """
    slots = {sibling.slot: memory.Slot(board, sibling.slot) for sibling in server.WORKERS.values()}
    stay = [one for one in server.WORKERS.values() if not (slots[one.slot].tired or slots[one.slot].retired)]
    by_age = sorted(stay, key=lambda sibling: sibling.age)
    youngest = by_age[max(0, len(by_age) - board.workers + 1) :]
    return {sibling.slot % board.workers for sibling in youngest}


def child_exit(server: Any, worker: Any) -> None:
    """Free the slot, keeping what the worker reported."""
    slot = memory.Slot(memory.current(), worker.slot)
    arbiter.ended(server, worker, ready=slot.ready)
    _collect(slot)


def _collect(slot: memory.Slot) -> None:
    if phase.current() is phase.Phase.STOPPING:
        report = slot.report()
        if report is None:
            _Master.killed += slot.ready  # one that still loaded has ended at once, and had nothing to finish
            lost = Counter(name for name, _ in slot.tracked())
            if slot.in_flight > 0:
                lost["requests"] = slot.in_flight
            report = {"pid": slot.pid, "abandoned": dict(lost)}
        outcomes = tuple(Outcome(**outcome) for outcome in report.pop("cleanup", ()))
        _Master.accounts.append(Account(**report, cleanup=outcomes))
    slot.release()


def on_exit(server: Any) -> None:
    """The last thing that the master does: the one line that tells how it went."""
    shutdown.begin(0, settings.SHUTDOWN_TIMEOUT)
    shutdown.stop()
    for slot in memory.current().live():
        _collect(slot)
    shutdown.log(_Master.accounts, killed=_Master.killed)
    if memory.current().integers[memory.SIGNAL]:
        _exit()  # the interpreter's own tidying up takes a second on a busy machine, which would be past the deadline


# --- worker -----------------------------------------------------------------------------------------------------


def post_fork(server: Any, worker: Any) -> None:
    """Take the slot; the master's handlers are not for a worker."""
    memory.install(memory.current(), slot=worker.slot)
    memory.mine().adopt(os.getpid())
    worker.owns_listeners = not (server.systemd or server.master_pid)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, partial(_end_unloaded, worker))
    ignore_what_is_the_masters()


def ignore_what_is_the_masters() -> None:
    for number in MASTERS_OWN:
        signal.signal(number, signal.SIG_IGN)


def is_meant(worker: Any) -> bool:
    """Whether a SIGTERM that this worker got is its master's: it has said so in the shared memory before.

    Else it went to the whole process group, whose master drains and then ends its workers itself; or an operator sent
    it to this worker alone.
    """
    return memory.mine().retired or phase.current() is phase.Phase.STOPPING or os.getppid() != worker.ppid


def _end_unloaded(worker: Any, number: int, frame: FrameType | None) -> None:
    if is_meant(worker):
        os._exit(0)


def post_worker_init(worker: Any) -> None:
    """The application is loaded: serve."""
    _Worker.replace_after = _take_over_limit(worker)
    kept: Any = signal.getsignal(signal.SIGTERM)
    whole = settings.SHUTDOWN_TIMEOUT
    arbiter.limit(worker.cfg, max(0.0, whole - shutdown.EXIT_MARGIN - shutdown.reserve(whole) - POLL))

    def on_term(number: int, frame: FrameType | None) -> None:
        if _Worker.leaving:
            return  # the master repeats it; the first one counts
        if not is_meant(worker):
            memory.mine().tire()
            return
        _Worker.leaving = True
        _Worker.waited_for = shutdown.under_way()
        now, until = time.monotonic(), _until()
        _Worker.wait_until = until - shutdown.reserve(until - now)
        # It looks at its limit once a second; `finish` waits for the rest, to the point.
        arbiter.limit(worker.cfg, max(0.0, _Worker.wait_until - now - POLL))
        loops.wake("board")  # to give back database connections
        kept(number, frame)

    signal.signal(signal.SIGTERM, on_term)
    signal.siginterrupt(signal.SIGTERM, False)
    serving.begin()


def _take_over_limit(worker: Any) -> int:
    """gunicorn's own limit of requests, jitter included: it would end the worker before there is another one."""
    limit, worker.max_requests = worker.max_requests, sys.maxsize
    return 0 if limit == sys.maxsize else int(limit)


def post_request(worker: Any, request: Any, environ: Any, response: Any) -> None:
    """Count the request for WEB_MAX_REQUESTS, unless it is a probe."""
    if not _Worker.replace_after or request.path.startswith(PROBES):
        return
    _Worker.served += 1  # by several threads: one more or less is of no importance
    if _Worker.served >= _Worker.replace_after and not memory.mine().tired:
        logger.info("this worker has served %d requests: it asks to be replaced", _Worker.served)
        memory.mine().tire()


def _until() -> float:
    """The monotonic time at which this worker must have ended."""
    now = time.monotonic()
    if _Worker.quick:
        return now + QUICK
    deadline = memory.current().floats[memory.DEADLINE] or now + settings.SHUTDOWN_TIMEOUT
    return max(deadline - shutdown.EXIT_MARGIN, now + 0.1)


def worker_int(worker: Any) -> None:
    """SIGQUIT: a second SIGINT came."""
    _Worker.quick = True
    _Worker.wait_until = time.monotonic()
    _Worker.waited_for = shutdown.under_way()


def pre_request(worker: Any, request: Any) -> None:
    """While the instance drains, an answer closes its connection, so that the client opens the next one elsewhere."""
    if phase.leaving():
        request.force_close()


def worker_exit(server: Any, worker: Any) -> None:
    """The worker's last act: wait for tracked work, clean up, leave the account to the master."""
    if os.getpid() != worker.pid or not serving.active():
        return
    until = _until() if phase.leaving() or _Worker.quick else time.monotonic() + shutdown.reserve(float("inf"))
    account = shutdown.finish(until=until, waited_for=_Worker.waited_for, wait_until=_Worker.wait_until)
    memory.mine().write_report(account.as_dict())
    _end_with_stuck_threads()


def _end_with_stuck_threads() -> None:
    """Threads in a stuck request would hold the interpreter's exit until the master kills this process."""
    failure = sys.exc_info()[1]
    if isinstance(failure, SystemExit) and failure.code:
        return  # gunicorn's own exit code matters
    time.sleep(0.05)
    if any(thread is not threading.main_thread() and not thread.daemon for thread in threading.enumerate()):
        _exit()


def _exit() -> NoReturn:
    """End this process at once with 0; what was logged is written."""
    with contextlib.suppress(OSError, ValueError):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)
