"""The one checker of this process: made at its first use, started and stopped with the worker, woken by errors.

It must not know what is checked, or what an answer looks like.
"""

import functools
import os
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from apps.health.checking import worker_reports
from apps.health.checking.checker import Checker
from apps.health.checking.results import CheckOutcome
from apps.health.metrics import instruments
from apps.lifecycle.dbpool import facade, write_state
from apps.lifecycle.shared_memory import memory
from apps.lifecycle.work import cleanup

TICK = 0.25
"""Seconds between two checks whether a round is due."""
STOP_SECONDS = 0.2  # for which shutdown waits for a round under way; one that hangs is left behind


@functools.cache
def checker() -> Checker:
    """The checker, which doesn't run before `start()`."""
    return Checker(interval=settings.HEALTH_CHECK_INTERVAL, observe=count, after_round=after_round)


os.register_at_fork(after_in_child=checker.cache_clear)  # threads don't survive a fork


def tick() -> None:
    """Begin a round if one is due, in each process that serves (a step of a lifecycle loop)."""
    if checker().running:
        checker().tick()
    else:
        checker().start()
        write_state.observe(wake)
        cleanup.register_cleanup_task(stop, name="health_checker")


def wake() -> None:
    """Have the checks run soon."""
    checker().wake()


def stop() -> None:
    checker().stop(STOP_SECONDS)


def count(name: str, outcome: CheckOutcome) -> None:
    instruments.count_check(name, str(outcome.status), outcome.seconds)


def after_round(made: Checker) -> None:
    """Report the results to the other workers, and count what would be lost when this worker ends."""
    outcomes = {name: [*outcome] for name, outcome in made.current().effective.items()}
    history = {name: [[*outcome] for outcome in last] for name, last in made.history.items()}
    worker_reports.write("checks", {"outcomes": outcomes, "history": history})
    memory.mine().show_unready(made.current().fails)
    instruments.count_dbpool(facade.sample())


def watch_statements(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """A receiver of Django's `connection_created`: have the checks run when a statement fails because of the database.

    Errors that are caught, like those that the API answers with a 503, trigger no Django signal; this sees them too.
    """
    if _wake_on_errors not in connection.execute_wrappers:
        connection.execute_wrappers.append(_wake_on_errors)


def _wake_on_errors(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    try:
        return execute(sql, params, many, context)
    except DatabaseError as error:
        write_state.suspect(error)
        if facade.is_unavailable(error):
            checker().wake()
        raise
