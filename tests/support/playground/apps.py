"""What the playground registers, and the protections that a negative twin runs without."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.db.backends.base.base import BaseDatabaseWrapper
from gunicorn.workers import gthread

from apps.lifecycle.dbpool import budget, permits
from apps.lifecycle.gunicorn import graceful_timeout
from apps.lifecycle.gunicorn.worker import worker
from apps.lifecycle.gunicorn.worker.slow_clients import SlowClientLimits
from apps.lifecycle.work.cleanup import register_cleanup_task
from apps.lifecycle.wsgi import body_limits
from tests.support.probes_in_threads import answer_probes_in_threads


class PlaygroundConfig(AppConfig):
    name = "tests.support.playground"
    label = "playground"

    def ready(self) -> None:
        body_limits.allow("POST", "/measure", 64 << 20)
        register_cleanup_task(lambda: note("first"), name="first")
        register_cleanup_task(fail, name="failing")
        register_cleanup_task(note_later, name="async")
        if os.environ.get("PLAYGROUND_STUCK_CLEANUP"):
            register_cleanup_task(lambda: time.sleep(60), name="stuck")
        if seconds := float(os.environ.get("PLAYGROUND_SLOW_CLEANUP", "0")):
            register_cleanup_task(lambda: (time.sleep(seconds), note("slow")), name="slow")
        if os.environ.get("PLAYGROUND_WITHOUT_SHARE"):
            replace(budget, "share", lambda total, workers, slot: total)
        if os.environ.get("PLAYGROUND_WITHOUT_SHARE") or os.environ.get("PLAYGROUND_WITHOUT_PERMITS"):
            replace(permits, "take", lambda held: True)
        time.sleep(float(os.environ.get("PLAYGROUND_SLOW_LOAD", "0")))
        if os.environ.get("PLAYGROUND_WITHOUT_PROBES_IN_THE_MAIN_LOOP"):
            answer_probes_in_threads()
        if os.environ.get("PLAYGROUND_WITHOUT_CHECK"):
            from apps.lifecycle.dbpool.postgresql.dbpool import PostgresqlDbpool

            replace(PostgresqlDbpool, "_check_or_evict", lambda self, connection, seconds=0: None)
        without_limits()
        if os.environ.get("PLAYGROUND_FREEZE"):
            freeze_before_commit(Path(os.environ["PLAYGROUND_FREEZE"]))
        if os.environ.get("PLAYGROUND_WITHOUT_GATHERING"):
            # gunicorn's own connections, which a thread reads: the parts of the worker leave those alone
            replace(SlowClientLimits, "_accept_one", gthread.ThreadWorker.accept)
        if os.environ.get("PLAYGROUND_WITHOUT_MAKING_ROOM"):
            replace(worker.Worker, "make_room", lambda self, address=None: False)
        if os.environ.get("PLAYGROUND_WITHOUT_WORKER_LIMIT"):
            replace(graceful_timeout, "set_graceful_timeout", lambda cfg, seconds: None)


def replace(owner: Any, name: str, by: Any) -> None:
    """Put something else in the place of a protection. One that was renamed ends the start, not a twin's meaning."""
    assert hasattr(owner, name), f"{owner} has no {name} any more: look at tests/support/playground"
    setattr(owner, name, by)


def without_limits() -> None:
    """Take away what throws out sessions that are alive but wrong."""
    from apps.lifecycle.dbpool.postgresql import eviction, sessions
    from pacsync.sqlite import writers

    if os.environ.get("PLAYGROUND_WITHOUT_DISCARDING"):
        keep = eviction.Eviction.KEEP
        replace(eviction.EvictionPolicy, "answered", lambda self, opened, read_only: keep)
        replace(eviction.EvictionPolicy, "reached", lambda self, server, began: keep)
    if os.environ.get("PLAYGROUND_WITHOUT_CHECK_LIMIT"):
        replace(sessions, "is_read_only", lambda connection, seconds: connection.execute("") is None)
    if os.environ.get("PLAYGROUND_WITHOUT_NOTICING_CANCELLED_COMMITS"):
        replace(sessions, "unreplicated", lambda connection: False)
    if os.environ.get("PLAYGROUND_WITHOUT_CUTTING"):
        replace(sessions, "cut", lambda connection: None)
    if os.environ.get("PLAYGROUND_WITHOUT_WRITERS_LIMIT"):
        replace(writers.Writers, "__init__", unlimited)


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
