"""What the playground registers, and the protections that a negative twin runs without."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.db.backends.base.base import BaseDatabaseWrapper

from apps.lifecycle import arbiter, bodies, budget, connections, permits, worker
from apps.lifecycle.cleanup import register_cleanup_task


class PlaygroundConfig(AppConfig):
    name = "tests.support.playground"
    label = "playground"

    def ready(self) -> None:
        bodies.allow("POST", "/measure", 64 << 20)
        register_cleanup_task(lambda: note("first"), name="first")
        register_cleanup_task(fail, name="failing")
        register_cleanup_task(note_later, name="async")
        if os.environ.get("PLAYGROUND_STUCK_CLEANUP"):
            register_cleanup_task(lambda: time.sleep(60), name="stuck")
        if os.environ.get("PLAYGROUND_WITHOUT_SHARE"):
            budget.share = lambda total, workers, slot: total
        if os.environ.get("PLAYGROUND_WITHOUT_SHARE") or os.environ.get("PLAYGROUND_WITHOUT_PERMITS"):
            permits.take = lambda held: True
        time.sleep(float(os.environ.get("PLAYGROUND_SLOW_LOAD", "0")))
        if os.environ.get("PLAYGROUND_WITHOUT_PROBES_IN_THE_MAIN_LOOP"):
            worker.is_probe = lambda head: False
        if os.environ.get("PLAYGROUND_WITHOUT_CHECK"):
            from pacsync.postgresql.dbpool import Dbpool

            Dbpool._check_or_drain = lambda self, connection, seconds=0: None  # type: ignore[method-assign]
        without_limits()
        if os.environ.get("PLAYGROUND_FREEZE"):
            freeze_before_commit(Path(os.environ["PLAYGROUND_FREEZE"]))
        if os.environ.get("PLAYGROUND_WITHOUT_GATHERING"):
            connections.gathers = lambda cfg: False
        if os.environ.get("PLAYGROUND_WITHOUT_LINGERING"):
            connections.gathers = lambda cfg: False
        if os.environ.get("PLAYGROUND_WITHOUT_MAKING_ROOM"):
            worker.Worker.make_room = lambda self, source=None: False  # type: ignore[method-assign]
        if os.environ.get("PLAYGROUND_WITHOUT_WORKER_LIMIT"):
            arbiter.limit = lambda cfg, seconds: None


def without_limits() -> None:
    """Take away what throws out sessions that are alive but wrong."""
    from pacsync.postgresql import sessions, suspicion
    from pacsync.sqlite import writers

    if os.environ.get("PLAYGROUND_WITHOUT_DISCARDING"):
        keep = suspicion.Verdict.KEEP
        suspicion.Suspicion.judge = lambda self, opened, read_only: keep  # type: ignore[method-assign, assignment]
        suspicion.Suspicion.reached = lambda self, server, began: keep  # type: ignore[method-assign, assignment]
    if os.environ.get("PLAYGROUND_WITHOUT_CHECK_LIMIT"):
        sessions.is_read_only = lambda connection, seconds: connection.execute("") is None
    if os.environ.get("PLAYGROUND_WITHOUT_NOTICING_CANCELLED_COMMITS"):
        sessions.unreplicated = lambda connection: False
    if os.environ.get("PLAYGROUND_WITHOUT_CUTTING"):
        sessions.cut = lambda connection: None
    if os.environ.get("PLAYGROUND_WITHOUT_AGREEMENT"):
        from apps.health import answers

        answers.agreed = lambda own: own
    if os.environ.get("PLAYGROUND_WITHOUT_WRITERS_LIMIT"):
        writers.Writers.__init__ = unlimited  # type: ignore[method-assign]


def unlimited(writers: Any, places: int, seconds: float) -> None:
    """Any number of threads wait for SQLite's write lock, for the 20 seconds that Django projects often set."""
    writers.seconds, writers.refusing = 20.0, False
    writers._places = threading.BoundedSemaphore(1000)


def freeze_before_commit(order: Path) -> None:
    """Stop this process before a request's next COMMIT once the file exists: the transaction has all of its locks."""
    commit = BaseDatabaseWrapper._commit

    def freeze(wrapper: Any) -> None:
        if order.exists() and threading.current_thread().name.startswith("ThreadPoolExecutor"):
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(1)  # the signal may go to another thread, and this one would commit before all are stopped
        commit(wrapper)

    BaseDatabaseWrapper._commit = freeze  # type: ignore[method-assign]


def note(text: str) -> None:
    with Path(os.environ["PLAYGROUND_EVIDENCE"]).open("a") as file:
        file.write(f"{text}\n")


async def note_later() -> None:
    note("async")


def fail() -> None:
    raise RuntimeError("a cleanup task that fails")
