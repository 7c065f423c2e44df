"""Shared memory of the test's own, a process that has registered nothing, and one with a dbpool."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from django.db import connection

from apps.lifecycle.dbpool import facade
from apps.lifecycle.shared_memory import memory
from apps.lifecycle.shared_memory.memory import Memory
from apps.lifecycle.work import cleanup, serving


@pytest.fixture
def own_memory() -> Iterator[memory.Memory]:
    """An instance for 3 workers, of which this process is the one in slot 0."""
    before = memory._state.memory, memory._state.slot
    shared = memory.Memory.create(workers=3, port=8080)
    memory.install(shared, slot=0)
    memory.mine().claim(4711)
    yield shared
    memory._state.memory, memory._state.slot = before


@pytest.fixture
def no_tasks() -> Iterator[None]:
    """No cleanup task is registered; afterwards those of the project are again."""
    before = list(cleanup._state.tasks)
    cleanup._state.tasks.clear()
    yield
    cleanup._state.tasks[:] = before


@pytest.fixture
def not_serving() -> Iterator[None]:
    yield
    serving.end()


@pytest.fixture
def serve(own_memory: Memory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """`serve(max_size=4)`: this process has a dbpool with these options from now on."""
    wrapper = cast(Any, connection)

    def start(**options: object) -> Any:
        wrapper.close()
        own_memory.header.workers = 1  # one worker: it has the whole budget
        settings_of_it = wrapper.settings_dict["OPTIONS"]
        monkeypatch.setitem(settings_of_it, "dbpool", settings_of_it["dbpool"] | options)
        facade.allow()
        return wrapper

    yield start
    wrapper.close()
    wrapper.close_pool()
    facade.allow(False)
    monkeypatch.undo()
