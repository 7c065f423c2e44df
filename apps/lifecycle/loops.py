"""Background loops of a worker: `while not stop.wait(interval): step()`. It must not know what a step does.

They start after the fork (hooks.post_worker_init, or the first request elsewhere), never in a management command. Each
step gives its database connection back; an exception is logged and the loop goes on.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import DatabaseError, InterfaceError, connections

from apps.lifecycle import dbpool, memory, phase

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Loop:
    """One loop. `everywhere`: in each worker, else only in the one that leads. `while_draining`: also then."""

    name: str
    interval: float
    step: Callable[[], object]
    everywhere: bool = False
    while_draining: bool = False
    _stopped: threading.Event = field(default_factory=threading.Event)
    _wake: threading.Event = field(default_factory=threading.Event)
    _problem: str = ""  # what the database said at the last step

    def run(self) -> None:
        dbpool.mark_background()
        while not self._stopped.is_set():
            if self.due():
                self.guarded_step()
            self._wake.wait(self.interval)
            self._wake.clear()

    def due(self) -> bool:
        """Whether this process should do a step now."""
        present = phase.current()
        if present is phase.Phase.STOPPING or (present is phase.Phase.DRAINING and not self.while_draining):
            return False
        return self.everywhere or memory.leads()

    def guarded_step(self) -> None:
        problem = ""
        try:
            self.step()
        except (DatabaseError, InterfaceError) as error:
            # Expected while the database is down or not migrated: one line when that begins, without a traceback.
            problem = str(error).strip().split("\n")[0]
            if problem != self._problem:
                logger.warning("background loop %s: the database: %s", self.name, problem)
        except Exception:
            logger.warning("background loop %s: a step failed", self.name, exc_info=True)
        else:
            if self._problem:
                logger.info("background loop %s works again", self.name)
        finally:
            self._problem = problem
            connections.close_all()

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stopped.set()
        self._wake.set()


_loops: dict[str, Loop] = {}
_threads: list[threading.Thread] = []
_lock = threading.Lock()
_running = False


def register(
    name: str, interval: float, step: Callable[[], object], *, everywhere: bool = False, while_draining: bool = False
) -> Loop:
    """Have `step` called every `interval` seconds, at once at first. Safe in AppConfig.ready: nothing starts there.

    `everywhere`: in every worker, not only in the one that leads. `while_draining`: also while the instance drains.
    """
    loop = Loop(name, interval, step, everywhere, while_draining)
    with _lock:
        _loops[name] = loop
        if _running:
            _start(loop)
    return loop


def start() -> None:
    """Start every registered loop in this process, once."""
    global _running
    with _lock:
        if not _running:
            _running = True
            for loop in _loops.values():
                _start(loop)


def _start(loop: Loop) -> None:
    thread = threading.Thread(target=loop.run, name=f"loop-{loop.name}", daemon=True)
    _threads.append(thread)
    thread.start()


def running() -> bool:
    return _running


def wake(name: str) -> None:
    """Have the loop do its next step now; nothing happens when it isn't registered."""
    loop = _loops.get(name)
    if loop:
        loop.wake()


def stop(seconds: float = 0) -> list[str]:
    """Stop all loops and wait for their steps, `seconds` at most; the names of those that still run."""
    global _running
    with _lock:
        threads, _running = list(_threads), False
        _threads.clear()
        for name, loop in list(_loops.items()):
            loop.stop()
            _loops[name] = Loop(name, loop.interval, loop.step, loop.everywhere, loop.while_draining)
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return [thread.name.removeprefix("loop-") for thread in threads if thread.is_alive()]
