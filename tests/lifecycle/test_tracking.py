"""Tracked work: with, async with, decorator; shown by name."""

import asyncio
import threading

import pytest

from apps.lifecycle.shared_memory import snapshots
from apps.lifecycle.shared_memory.memory import Memory
from apps.lifecycle.work import tracked_work
from apps.lifecycle.work.tracked_work import operation_context


def shown() -> list[str]:
    return sorted(name for name, _ in snapshots.snapshot().tracked)


def test_operation_context_shown_inside_and_gone_after(own_memory: Memory) -> None:
    with operation_context("outer"), operation_context("inner"):
        assert shown() == ["inner", "outer"]
        assert tracked_work.in_progress() == {"outer": 1, "inner": 1}
    assert shown() == [] and not tracked_work.in_progress()


def test_operation_context_error_inside_is_passed_on_and_it_ends(own_memory: Memory) -> None:
    with pytest.raises(KeyError), operation_context("failing"):
        raise KeyError
    assert shown() == []


def test_operation_context_async_tasks_each_tracked(own_memory: Memory) -> None:
    async def work() -> list[str]:
        async with operation_context("sync_operation"):
            await asyncio.sleep(0.01)
            return shown()

    async def both() -> list[list[str]]:
        return list(await asyncio.gather(work(), work()))

    assert asyncio.run(both()) == [["sync_operation", "sync_operation"], ["sync_operation"]]
    assert shown() == []


def test_operation_context_decorator_in_two_threads_each_call_tracked(own_memory: Memory) -> None:
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
