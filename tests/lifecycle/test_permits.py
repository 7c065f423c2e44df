"""Permits for database connections: all workers together have no more than the budget, and a killed one keeps none."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from apps.lifecycle import memory, permits
from apps.lifecycle.memory import Memory, Slot


@pytest.fixture
def board() -> Iterator[Memory]:
    """An instance with a budget of 5 connections, of which this process is the worker in slot 0."""
    before = memory._process.memory, memory._process.slot
    made = Memory.create(workers=3, port=8080, findable=True)
    memory.install(made, slot=0)
    memory.mine().claim(4711)
    made.integers[memory.BUDGET] = 5
    yield made
    memory._process.memory, memory._process.slot = before


def test_take_up_to_the_budget_of_all_workers(board: Memory) -> None:
    other = Slot(board, 1)
    other.claim(1)
    other.open = 3
    assert [permits.take(held) for held in range(3)] == [True, True, False]
    assert memory.mine().open == 2
    other.release()
    assert permits.take(2)


def test_take_without_a_budget_always(board: Memory) -> None:
    board.integers[memory.BUDGET] = 0
    assert permits.take(1000)


def test_trial_waits_for_one_and_workers_see_that_it_is_wanted(board: Memory) -> None:
    memory.mine().open = 5
    assert not permits.take_for_trial(board, 0.1)
    assert not permits.wanted()
    memory.mine().open = 4
    assert permits.take_for_trial(board, 0.1)
    assert not permits.take(4)
    permits.release_for_trial(board)
    assert permits.take(4)


def test_many_processes_never_take_more_than_the_budget(board: Memory) -> None:
    """Each child takes what it can at the same moment; together it is the budget exactly."""
    start = time.monotonic() + 0.5
    children = []
    for slot in (1, 2, 3, 4):
        child = os.fork()
        if child == 0:
            memory.install(board, slot=slot)
            memory.mine().claim(os.getpid())
            time.sleep(max(0.0, start - time.monotonic()))
            held = 0
            while permits.take(held):
                held += 1
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert sum(slot.open for slot in board.live()) == 5


def test_process_killed_while_it_holds_the_lock_nobody_waits_for_it(board: Memory) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with permits._lock(board):
            os.write(write, b"x")
            time.sleep(60)
        os._exit(0)
    os.read(read, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert permits.take(0)
    os.close(read)
    os.close(write)
