"""Background loops of a worker: `while not stop.wait(interval): step()`. It must not know what a step does.

They start after the fork (worker_hooks.post_worker_init, or the first request elsewhere), never in a management
command. Each step gives its database connection back; an exception is logged and the loop goes on.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import DatabaseError, InterfaceError, connections

from apps.lifecycle.dbpool import facade, thread_limits
from apps.lifecycle.shared_memory import memory, phase

logger = logging.getLogger(__name__)

UNAVAILABLE = "unavailable"


@dataclass(eq=False)
class Loop:
    """One loop. `everywhere`: in each worker, otherwise only in the leading one. `while_draining`: as in `register`."""

    name: str
    interval: float
    step: Callable[[], object]
    everywhere: bool = False
    while_draining: bool = False
    _stopped: threading.Event = field(default_factory=threading.Event)
    _due_now: threading.Event = field(default_factory=threading.Event)
    _problem: str = ""  # the database's error at the last step, or UNAVAILABLE

    def run(self) -> None:
        thread_limits.mark_background()
        while not self._stopped.is_set():
            if self.due():
                self.guarded_step()
            self._due_now.wait(self.interval)
            self._due_now.clear()

    def due(self) -> bool:
        """Whether this process should do a step now."""
        current = phase.current()
        if current is phase.Phase.STOPPING or (current is phase.Phase.DRAINING and not self.while_draining):
            return False
        return self.everywhere or memory.leads()

    def guarded_step(self) -> None:
        problem = ""
        try:
            self.step()
        except (DatabaseError, InterfaceError) as error:
            # Expected while the database is down or not migrated: one line when that begins, without a traceback.
            text = str(error).strip().split("\n")[0]
            problem = UNAVAILABLE if facade.is_unavailable(error) else text  # an outage has many texts
            if problem != self._problem:
                logger.warning("background loop %s: the database: %s", self.name, text)
        except Exception:
            logger.warning("background loop %s: a step failed", self.name, exc_info=True)
        else:
            if self._problem:
                logger.info("background loop %s works again", self.name)
        finally:
            self._problem = problem
            connections.close_all()

    def run_now(self) -> None:
        self._due_now.set()

    def stop(self) -> None:
        self._stopped.set()
        self._due_now.set()


@dataclass
class _State:
    loops: dict[str, Loop] = field(default_factory=dict)
    threads: list[threading.Thread] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    running: bool = False


_state = _State()


def register(
    name: str, interval: float, step: Callable[[], object], *, everywhere: bool = False, while_draining: bool = False
) -> None:
    """Have `step` called at once and every `interval` seconds. Safe in AppConfig.ready: nothing starts there.

    `everywhere`: in every worker, not only the leading one. `while_draining`: even while the instance drains.
    """
    loop = Loop(name, interval, step, everywhere, while_draining)
    with _state.lock:
        _state.loops[name] = loop
        if _state.running:
            _start(loop)


def start() -> None:
    """Start every registered loop in this process, once."""
    with _state.lock:
        if not _state.running:
            _state.running = True
            for loop in _state.loops.values():
                _start(loop)


def _start(loop: Loop) -> None:
    thread = threading.Thread(target=loop.run, name=f"loop-{loop.name}", daemon=True)
    _state.threads.append(thread)
    thread.start()


def run_now(name: str) -> None:
    """Have the loop do its next step now; nothing happens if it isn't registered."""
    loop = _state.loops.get(name)
    if loop:
        loop.run_now()


def stop(seconds: float = 0) -> None:
    """Stop all loops and wait at most `seconds` for their steps."""
    with _state.lock:
        threads, _state.running = list(_state.threads), False
        _state.threads.clear()
        for name, loop in list(_state.loops.items()):
            loop.stop()
            _state.loops[name] = Loop(name, loop.interval, loop.step, loop.everywhere, loop.while_draining)
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
