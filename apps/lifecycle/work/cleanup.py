"""Cleanup tasks: what must be done before the process ends. It must not know what a task does."""

import asyncio
import inspect
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import connections

from apps.lifecycle.dbpool import facade, thread_limits

logger = logging.getLogger(__name__)

Task = Callable[[], Any] | Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class CleanupResult:
    """How one task ended, and after how many seconds. `error` is empty if it succeeded."""

    name: str
    seconds: float
    error: str = ""


@dataclass
class _State:
    tasks: list[tuple[str, Task]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


_state = _State()


def register_cleanup_task(task: Task, *, name: str | None = None, last: bool = False) -> None:
    """Have `task`, sync or async, called once when the process shuts down. Tasks run in reverse order of registration.

    A failure is logged, and the others still run. `last`: after all others, whenever it was registered.
    """
    named = (name or str(getattr(task, "__qualname__", repr(task))), task)
    with _state.lock:
        _state.tasks.insert(0 if last else len(_state.tasks), named)


def run(seconds: float) -> list[CleanupResult]:
    """Run all tasks within `seconds`. One that hangs gets half of the time that is left, and is then abandoned."""
    end = time.monotonic() + seconds
    outcomes: list[CleanupResult] = []
    while True:
        with _state.lock:
            if not _state.tasks:
                return outcomes
            name, task = _state.tasks.pop()
            others = len(_state.tasks)
        left = max(0.05, end - time.monotonic())
        outcomes.append(_run_one(name, task, left / 2 if others else left))


def _run_one(name: str, task: Task, seconds: float) -> CleanupResult:
    """In a thread of its own, because a stuck task must not hold up the others."""
    errors: list[BaseException] = []
    began = time.monotonic()
    thread = threading.Thread(target=_call, args=(task, seconds, errors), name=f"cleanup-{name}", daemon=True)
    thread.start()
    thread.join(seconds)
    error = f"not finished after {seconds:.1f} s" if thread.is_alive() else ""
    if errors:
        error = type(errors[0]).__name__
        if facade.is_unavailable(errors[0]):  # an expected condition, which no traceback explains
            logger.error("cleanup task %s failed: the database: %s", name, str(errors[0]).strip().split("\n")[0])
        else:
            logger.error("cleanup task %s failed", name, exc_info=errors[0])
    elif error:
        logger.error("cleanup task %s %s", name, error)
    return CleanupResult(name, round(time.monotonic() - began, 3), error)


def _call(task: Task, seconds: float, errors: list[BaseException]) -> None:
    thread_limits.mark_background()  # requests that hang may have all connections except the one kept for this
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
