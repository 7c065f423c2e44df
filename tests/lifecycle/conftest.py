"""A board of the test's own, and a process that has registered nothing."""

from collections.abc import Iterator

import pytest

from apps.lifecycle import cleanup, memory, serving


@pytest.fixture
def own_board() -> Iterator[memory.Memory]:
    """An instance for 3 workers, of which this process is the one in slot 0."""
    before = memory._process.memory, memory._process.slot
    board = memory.Memory.create(workers=3, port=8080)
    memory.install(board, slot=0)
    memory.mine().claim(4711)
    yield board
    memory._process.memory, memory._process.slot = before


@pytest.fixture
def no_tasks() -> Iterator[None]:
    """No cleanup task is registered; afterwards those of the project are again."""
    before = list(cleanup._tasks)
    cleanup._tasks.clear()
    yield
    cleanup._tasks[:] = before


@pytest.fixture
def not_serving() -> Iterator[None]:
    yield
    serving.end()
