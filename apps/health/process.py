"""The one checker of this process: made at the first use, started with the worker, woken by errors, stopped with it.

It must not know what is checked, nor how an answer looks.
"""

import functools
import os
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from apps.health import measurements, notes
from apps.health.checker import Checker
from apps.lifecycle import cleanup, dbpool, memory, writes

STOP_SECONDS = 0.2  # how long shutdown waits for a round that is under way; one that hangs is left to the dbpool


@functools.cache
def checker() -> Checker:
    """The checker, which doesn't run before `start()`."""
    return Checker(interval=settings.HEALTH_CHECK_INTERVAL, observe=measurements.count_check, after_round=after_round)


os.register_at_fork(after_in_child=checker.cache_clear)  # threads don't survive a fork


def start() -> None:
    """Start checking in the background, once in each process that serves (a step of a lifecycle loop)."""
    if not checker().running:
        checker().start()
        writes.observe(wake)
        cleanup.register_cleanup_task(stop, name="health_checker")


def wake() -> None:
    checker().wake()


def stop() -> None:
    checker().stop(STOP_SECONDS)


def after_round(made: Checker) -> None:
    """What other workers want to know, and what must be counted before this worker ends."""
    memory.mine().show_unready(made.current().readiness.reason not in ("", "starting"))
    outcomes = {name: [*outcome] for name, outcome in made.current().effective.items()}
    history = {name: [[*outcome] for outcome in last] for name, last in made.history.items()}
    notes.leave("checks", {"outcomes": outcomes, "history": history})
    measurements.count_dbpool(dbpool.sample())


def watch_statements(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Receiver of Django's `connection_created`: look at once when a statement fails for the database's fault.

    Errors that are caught, like those that the API answers with a 503, reach no signal of Django; this sees them too.
    """
    if _wake_on_errors not in connection.execute_wrappers:
        connection.execute_wrappers.append(_wake_on_errors)


def _wake_on_errors(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    try:
        return execute(sql, params, many, context)
    except DatabaseError as error:
        writes.suspect(error)
        if dbpool.is_unavailable(error):
            checker().wake()
        raise
