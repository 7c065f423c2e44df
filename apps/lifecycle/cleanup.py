"""Cleanup tasks: what has to be done before the process ends. It must not know what a task does."""

import asyncio
import inspect
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from django.db import connections

from apps.lifecycle import dbpool

logger = logging.getLogger(__name__)

Task = Callable[[], Any] | Callable[[], Awaitable[Any]]
_tasks: list[tuple[str, Task]] = []
_lock = threading.Lock()


@dataclass(frozen=True)
class Outcome:
    """What became of one task. `error` is empty when it went well."""

    name: str
    seconds: float
    error: str = ""


def register_cleanup_task(task: Task, *, name: str | None = None, last: bool = False) -> None:
    """Have `task` called once when the process shuts down: reverse order of registration, sync or async.

    A failure is logged and the others still run. `last`: after all others, whenever it was registered.
    """
    named = (name or str(getattr(task, "__qualname__", repr(task))), task)
    with _lock:
        _tasks.insert(0 if last else len(_tasks), named)


def unregister_cleanup_task(task: Task) -> None:
    """Forget the task; nothing happens when it isn't registered."""
    with _lock:
        _tasks[:] = [named for named in _tasks if named[1] is not task]


def run(seconds: float) -> list[Outcome]:
    """Run and forget all tasks, within `seconds`. One that hangs gets half of what is left, and is left behind."""
    end = time.monotonic() + seconds
    outcomes: list[Outcome] = []
    while True:
        with _lock:
            if not _tasks:
                return outcomes
            name, task = _tasks.pop()
            others = len(_tasks)
        left = max(0.05, end - time.monotonic())
        outcomes.append(_run_one(name, task, left / 2 if others else left))


def _run_one(name: str, task: Task, seconds: float) -> Outcome:
    """In a thread of its own, because a stuck task must not hold up the others."""
    errors: list[BaseException] = []
    began = time.monotonic()
    thread = threading.Thread(target=_call, args=(task, seconds, errors), name=f"cleanup-{name}", daemon=True)
    thread.start()
    thread.join(seconds)
    error = f"not finished after {seconds:.1f} s" if thread.is_alive() else ""
    if errors:
        error = type(errors[0]).__name__
        if dbpool.is_unavailable(errors[0]):  # a normal condition, which no traceback explains
            logger.error("cleanup task %s failed: the database: %s", name, str(errors[0]).strip().split("\n")[0])
        else:
            logger.error("cleanup task %s failed", name, exc_info=errors[0])
    elif error:
        logger.error("cleanup task %s %s", name, error)
    return Outcome(name, round(time.monotonic() - began, 3), error)


def _call(task: Task, seconds: float, errors: list[BaseException]) -> None:
    dbpool.mark_background()  # requests that hang may have all connections but the one kept for this
    try:
        result = task()
        if inspect.isawaitable(result):
            asyncio.run(_limited(result, seconds))
    except BaseException as error:  # the edge: SystemExit of one task must not skip the others
        errors.append(error)
    finally:
        connections.close_all()


async def _limited(awaitable: Awaitable[Any], seconds: float) -> None:
    await asyncio.wait_for(awaitable, seconds)
