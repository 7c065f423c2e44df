"""Runs one check in the calling thread and judges what came of it. It must not know when, nor who wants the result."""

import asyncio
import inspect
import time

from django.db import DatabaseError
from health_check.exceptions import HealthCheckException, ServiceWarning

from apps.health.checks import MigrationsPending, NotInitialized, NotWritable, Registered
from apps.health.results import DATABASE_UNHEALTHY, Outcome, Status


def run_check(item: Registered) -> tuple[Outcome, Exception | None]:
    """Run one check in this thread. Whatever happens is an outcome; the error beside it is for the log only."""
    started = time.monotonic()
    status, problem, failure = Status.HEALTHY, "", None
    try:
        result = item.check.run()
        if inspect.iscoroutine(result):
            asyncio.run(_await(result))
    except Exception as error:  # the edge of the loop: a check may fail in any way
        status, problem = _judge(error)
        failure = error
    seconds = time.monotonic() - started
    if seconds > item.limit and status is not Status.UNHEALTHY:
        status, problem = Status.UNHEALTHY, "timed_out"
    return Outcome(status, problem, time.time(), seconds), failure


async def _await(result: object) -> None:
    await result  # type: ignore[misc]


def unexpected(error: Exception | None) -> Exception | None:
    """The error if its traceback tells something: what a check says on purpose, or the database, needs none."""
    return None if isinstance(error, HealthCheckException | DatabaseError | OSError) else error


def text_of(error: Exception) -> str:
    """What the error says; for the log and the operator at the command line only."""
    return str(getattr(error, "message", error)).strip() or type(error).__name__


def _judge(error: Exception) -> tuple[Status, str]:
    if isinstance(error, NotInitialized):
        return Status.NOT_INITIALIZED, "not_initialized"
    if isinstance(error, NotWritable):
        return Status.UNHEALTHY, error.problem
    if isinstance(error, MigrationsPending):
        return Status.UNHEALTHY, "migrations_pending"
    if isinstance(error, ServiceWarning):
        return Status.DEGRADED, str(getattr(error, "problem", "warning"))
    return Status.UNHEALTHY, "failed"


def skipped() -> tuple[Outcome, None]:
    """The outcome of a check that was spared, because the database it needs doesn't work."""
    return Outcome(Status.UNHEALTHY, DATABASE_UNHEALTHY, time.time()), None
