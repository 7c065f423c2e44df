"""Tracked work: with, async with, decorator; waited for, and shown by name."""

import asyncio
import threading
import time

import pytest

from apps.lifecycle import board, tracking
from apps.lifecycle.memory import Memory
from apps.lifecycle.tracking import operation_context


def shown() -> list[str]:
    return sorted(name for name, _ in board.snapshot().tracked)


def test_operation_context_shown_inside_and_gone_after(own_board: Memory) -> None:
    with operation_context("outer"), operation_context("inner"):
        assert shown() == ["inner", "outer"]
        assert tracking.present() == {"outer": 1, "inner": 1}
    assert shown() == [] and not tracking.present()


def test_operation_context_error_inside_is_passed_on_and_it_ends(own_board: Memory) -> None:
    with pytest.raises(KeyError), operation_context("failing"):
        raise KeyError
    assert shown() == []


def test_operation_context_async_tasks_each_tracked(own_board: Memory) -> None:
    async def work() -> list[str]:
        async with operation_context("sync_operation"):
            await asyncio.sleep(0.01)
            return shown()

    async def both() -> list[list[str]]:
        return list(await asyncio.gather(work(), work()))

    assert asyncio.run(both()) == [["sync_operation", "sync_operation"], ["sync_operation"]]
    assert shown() == []


def test_operation_context_decorator_in_two_threads_each_call_tracked(own_board: Memory) -> None:
    inside, go = threading.Barrier(3), threading.Event()

    @operation_context("decorated")
    def work() -> None:
        inside.wait(5)
        go.wait(5)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    inside.wait(5)
    assert shown() == ["decorated", "decorated"]
    go.set()
    for thread in threads:
        thread.join(5)
    assert shown() == []


def test_wait_returns_when_the_work_ends(own_board: Memory) -> None:
    def work() -> None:
        with operation_context("short"):
            started.set()
            time.sleep(0.2)

    started = threading.Event()
    threading.Thread(target=work).start()
    started.wait(5)
    assert tracking.wait(10) == {}


def test_wait_too_short_says_what_is_left(own_board: Memory) -> None:
    with operation_context("long"):
        assert tracking.wait(0.05) == {"long": 1}
