"""What the playground registers, and the protections that a negative twin runs without."""

import os
import time
from pathlib import Path

from django.apps import AppConfig

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

            Dbpool._check_or_drain = lambda self, connection: None  # type: ignore[method-assign]
        if os.environ.get("PLAYGROUND_WITHOUT_GATHERING"):
            connections.gathers = lambda cfg: False
        if os.environ.get("PLAYGROUND_WITHOUT_LINGERING"):
            connections.gathers = lambda cfg: False
        if os.environ.get("PLAYGROUND_WITHOUT_MAKING_ROOM"):
            worker.Worker.make_room = lambda self, source=None: False  # type: ignore[method-assign]
        if os.environ.get("PLAYGROUND_WITHOUT_WORKER_LIMIT"):
            arbiter.limit = lambda cfg, seconds: None


def note(text: str) -> None:
    with Path(os.environ["PLAYGROUND_EVIDENCE"]).open("a") as file:
        file.write(f"{text}\n")


async def note_later() -> None:
    note("async")


def fail() -> None:
    raise RuntimeError("a cleanup task that fails")
