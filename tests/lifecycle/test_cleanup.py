"""Cleanup tasks: order, isolation, async, time limits."""

import asyncio
import logging
import threading
import time

import pytest
from django.db import OperationalError

from apps.lifecycle.work import cleanup
from apps.lifecycle.work.cleanup import register_cleanup_task

pytestmark = pytest.mark.usefixtures("no_tasks")


def test_run_reverse_order_last_after_all_and_once(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []
    register_cleanup_task(lambda: done.append("one"))
    register_cleanup_task(lambda: done.append("dbpool"), last=True)

    async def two() -> None:
        await asyncio.sleep(0)
        done.append("two")

    register_cleanup_task(two)
    outcomes = cleanup.run(5)
    assert done == ["two", "one", "dbpool"]
    assert [outcome.error for outcome in outcomes] == ["", "", ""]
    assert cleanup.run(5) == []


def test_run_failing_task_logged_and_the_others_run(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    def leave() -> None:
        raise SystemExit(3)

    register_cleanup_task(lambda: done.append("first"), name="first")
    register_cleanup_task(leave, name="leaving")
    register_cleanup_task(lambda: 1 / 0, name="dividing")
    with caplog.at_level(logging.ERROR):
        outcomes = cleanup.run(5)
    assert [(o.name, o.error) for o in outcomes] == [
        ("dividing", "ZeroDivisionError"),
        ("leaving", "SystemExit"),
        ("first", ""),
    ]
    assert done == ["first"]
    assert "cleanup task dividing failed" in caplog.text


def test_run_task_that_meets_no_database_is_one_line_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def refused() -> None:
        raise OperationalError("no database\nmore words")

    register_cleanup_task(refused, name="row")
    with caplog.at_level(logging.ERROR):
        outcomes = cleanup.run(5)
    assert [outcome.error for outcome in outcomes] == ["OperationalError"]
    assert caplog.messages == ["cleanup task row failed: the database: no database"]
    assert "Traceback" not in caplog.text


def test_run_stuck_tasks_left_behind_and_the_last_still_has_time() -> None:
    release = threading.Event()
    done: list[str] = []

    async def stuck_async() -> None:
        await asyncio.sleep(60)

    register_cleanup_task(lambda: done.append("first"), name="first")
    register_cleanup_task(lambda: release.wait(60), name="stuck")
    register_cleanup_task(stuck_async, name="stuck async")
    began = time.monotonic()
    outcomes = cleanup.run(1)
    release.set()
    assert time.monotonic() - began < 20  # each of the stuck ones takes 60
    assert done == ["first"]
    assert [bool(outcome.error) for outcome in outcomes] == [True, True, False]
