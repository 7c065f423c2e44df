"""Permits for database connections: all workers together have no more than the budget, and a killed one keeps none."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from apps.lifecycle.dbpool import permits
from apps.lifecycle.shared_memory import memory
from apps.lifecycle.shared_memory.memory import Memory


@pytest.fixture
def shared() -> Iterator[Memory]:
    """An instance with a budget of 5 connections, of which this process is the worker in slot 0."""
    before = memory._state.memory, memory._state.slot
    made = Memory.create(workers=3, port=8080, findable=True)
    memory.install(made, slot=0)
    memory.mine().claim(4711)
    made.header.budget = 5
    yield made
    memory._state.memory, memory._state.slot = before


def test_take_up_to_the_budget_of_all_workers(shared: Memory) -> None:
    other = shared.slot(1)
    other.claim(1)
    other.connections = 3
    assert [permits.take(held) for held in range(3)] == [True, True, False]
    assert memory.mine().connections == 2
    other.release()
    assert permits.take(2)


def test_take_without_a_budget_always(shared: Memory) -> None:
    shared.header.budget = 0
    assert permits.take(1000)


def test_trial_waits_for_one_and_workers_see_that_it_is_wanted(shared: Memory) -> None:
    memory.mine().connections = 5
    assert not permits.take_for_trial(shared, 0.1)
    assert not permits.wanted()
    memory.mine().connections = 4
    assert permits.take_for_trial(shared, 0.1)
    assert not permits.take(4)
    permits.release_for_trial(shared)
    assert permits.take(4)


def test_replaced_worker_that_waits_is_seen_by_the_others_until_it_has_one(shared: Memory) -> None:
    old, new = shared.slot(0), shared.slot(1)
    new.claim(1)
    new.connections = 5
    assert not permits.take(0)
    memory.install(shared, slot=1)
    assert not permits.wanted()  # one that goes on waits for its own share
    old.retire()
    memory.install(shared, slot=0)
    assert not permits.take(0)
    assert not permits.wanted()  # by another worker
    memory.install(shared, slot=1)
    assert permits.wanted()
    new.connections = 4
    memory.install(shared, slot=0)
    assert permits.take(0)
    memory.install(shared, slot=1)
    assert not permits.wanted()


def test_many_processes_never_take_more_than_the_budget(shared: Memory) -> None:
    """Each child takes what it can at the same moment; together it is the budget exactly."""
    start = time.monotonic() + 0.5
    children = []
    for slot in (1, 2, 3, 4):
        child = os.fork()
        if child == 0:
            memory.install(shared, slot=slot)
            memory.mine().claim(os.getpid())
            time.sleep(max(0.0, start - time.monotonic()))
            held = 0
            while permits.take(held):
                held += 1
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert sum(slot.connections for slot in shared.live()) == 5


def test_process_killed_while_it_holds_the_lock_nobody_waits_for_it(shared: Memory) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with permits._lock(shared):
            os.write(write, b"x")
            time.sleep(60)
        os._exit(0)
    os.read(read, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert permits.take(0)
    os.close(read)
    os.close(write)
