"""Permits to open a database connection: all workers of an instance together never have more than its budget.

Each worker's dbpool has a share of the budget (budget.py), but while a worker is replaced the old one and the new one
have the same share. A permit is a count in the worker's slot of the shared memory, taken under a lock that the kernel
gives back when its holder dies. It must not know what a connection is.
"""

import contextlib
import fcntl
import threading
import time
from collections.abc import Iterator

from apps.lifecycle import memory

PAUSE = 0.02  # seconds between two looks for a free permit

_threads = threading.Lock()


def take(held: int) -> bool:
    """Take one permit more than the `held` that this worker has; False when none is free.

    `held` counts the connections that are open or being opened; the caller publishes it again when it changes.
    """
    board, own = memory.current(), memory.mine()
    with _lock(board):
        others = sum(slot.open for slot in board.live() if slot.index != own.index) + board.integers[memory.TRIAL_OPEN]
        if 0 < board.integers[memory.BUDGET] <= others + held:
            return False
        own.open = held + 1
        return True


def publish(held: int) -> None:
    """How many connections this worker has now."""
    memory.mine().open = held


def take_for_trial(board: memory.Memory, seconds: float) -> bool:
    """One for the trial of a reload, which waits for it; workers give back connections that nobody uses meanwhile."""
    end = board.floats[memory.WANTED_UNTIL] = time.monotonic() + seconds
    try:
        while not _take_for_trial(board):
            if time.monotonic() >= end:
                return False
            time.sleep(PAUSE)
        return True
    finally:
        board.floats[memory.WANTED_UNTIL] = 0


def _take_for_trial(board: memory.Memory) -> bool:
    with _lock(board):
        if 0 < board.integers[memory.BUDGET] <= sum(slot.open for slot in board.live()):
            return False
        board.integers[memory.TRIAL_OPEN] = 1
        return True


def release_for_trial(board: memory.Memory) -> None:
    board.integers[memory.TRIAL_OPEN] = 0


def replaced() -> bool:
    """Whether this worker is replaced: it opens connections for requests only, and keeps none that nobody uses."""
    return memory.mine().retired


def wanted() -> bool:
    """Whether a trial waits for a connection."""
    return memory.current().floats[memory.WANTED_UNTIL] > time.monotonic()


@contextlib.contextmanager
def _lock(board: memory.Memory) -> Iterator[None]:
    """Nobody else counts meanwhile: no thread of this process, and no other process of this instance."""
    with _threads:
        if board.descriptor is None:
            yield
            return
        fcntl.lockf(board.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(board.descriptor, fcntl.LOCK_UN)
