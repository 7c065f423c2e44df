"""Runs one check in the calling thread, and turns the result into an outcome. It must not know when, or for whom."""

import asyncio
import inspect
import time

from django.db import DatabaseError, connection
from health_check.exceptions import HealthCheckException, ServiceWarning

from apps.health.checking.results import DATABASE_UNHEALTHY, CheckOutcome, CheckStatus
from apps.health.checks.exceptions import LacksRight, MigrationsPending, NotInitialized, NotWritable
from apps.health.checks.registered import RegisteredCheck
from apps.lifecycle.dbpool import rights


def run_check(item: RegisteredCheck) -> tuple[CheckOutcome, Exception | None]:
    """Run one check in this thread. Whatever happens is an outcome. The error returned with it is only for the log."""
    started = time.monotonic()
    status, problem, failure = CheckStatus.HEALTHY, "", None
    try:
        result = item.check.run()
        if inspect.iscoroutine(result):
            asyncio.run(_await(result))
    except Exception as error:  # the edge of the loop: a check may fail in any way
        lacks = rights.missing_right(error, connection)
        failure = LacksRight(lacks) if lacks else error
        status, problem = _judge(failure)
    seconds = time.monotonic() - started
    if seconds > item.limit and status is not CheckStatus.UNHEALTHY:
        status, problem = CheckStatus.UNHEALTHY, "timed_out"
    return CheckOutcome(status, problem, time.time(), seconds), failure


async def _await(result: object) -> None:
    await result  # type: ignore[misc]  # django-health-check has no types


def unexpected(error: Exception | None) -> Exception | None:
    """The error, if its traceback helps; None for what a check raises on purpose, and for errors of the database."""
    return None if isinstance(error, HealthCheckException | DatabaseError | OSError) else error


def text_of(error: Exception) -> str:
    """What the error says; only for the log and the operator at the command line."""
    return str(getattr(error, "message", error)).strip() or type(error).__name__


def _judge(error: Exception) -> tuple[CheckStatus, str]:
    if isinstance(error, NotInitialized):
        return CheckStatus.NOT_INITIALIZED, "not_initialized"
    if isinstance(error, NotWritable | LacksRight):
        return CheckStatus.UNHEALTHY, error.problem
    if isinstance(error, MigrationsPending):
        return CheckStatus.UNHEALTHY, "migrations_pending"
    if isinstance(error, ServiceWarning):
        return CheckStatus.DEGRADED, str(getattr(error, "problem", "warning"))
    return CheckStatus.UNHEALTHY, "failed"


def skipped() -> tuple[CheckOutcome, None]:
    """The outcome of a check that didn't run, because the database that it needs doesn't work."""
    return CheckOutcome(CheckStatus.UNHEALTHY, DATABASE_UNHEALTHY, time.time()), None
