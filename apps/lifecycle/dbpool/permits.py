"""Permits to open a database connection: all workers of an instance together never have more than its budget.

Each worker's dbpool has a share of the budget (budget.py), but while a worker is being replaced, the old one and the
new one have the same share. A permit is a count in the worker's slot of the shared memory. It is taken under a lock
that the kernel releases when its holder dies. It must not know what a connection is.
"""

import contextlib
import fcntl
import threading
import time
from collections.abc import Iterator

from apps.lifecycle.shared_memory import memory

PAUSE = 0.02  # seconds between two attempts to get a free permit
ASKING = 0.5  # seconds after an attempt during which the other workers see that a replaced worker waits

_threads = threading.Lock()


def take(held: int) -> bool:
    """Take one permit more than the `held` that this worker has; False if none is free.

    `held` counts the connections that are open or being opened; the caller publishes it again when it changes.
    A replaced worker that gets none shows that it waits, so that its successors give back idle connections.
    """
    shared, own = memory.current(), memory.mine()
    with _lock(shared):
        others = sum(slot.connections for slot in shared.live() if slot.index != own.index)
        taken = not 0 < shared.header.budget <= others + shared.header.trial_connections + held
        if taken:
            own.connections = held + 1
    if own.retired:
        shared.header.replaced_waits_until = 0 if taken else time.monotonic() + ASKING
    return taken


def publish(held: int) -> None:
    """Show how many connections this worker has now."""
    memory.mine().connections = held


def take_for_trial(shared: memory.Memory, seconds: float) -> bool:
    """Wait for a permit for the trial of a reload, and take it; in the meantime, workers give back idle connections."""
    end = shared.header.trial_waits_until = time.monotonic() + seconds
    try:
        while not _take_for_trial(shared):
            if time.monotonic() >= end:
                return False
            time.sleep(PAUSE)
        return True
    finally:
        shared.header.trial_waits_until = 0


def _take_for_trial(shared: memory.Memory) -> bool:
    with _lock(shared):
        if 0 < shared.header.budget <= sum(slot.connections for slot in shared.live()):
            return False
        shared.header.trial_connections = 1
        return True


def release_for_trial(shared: memory.Memory) -> None:
    shared.header.trial_connections = 0


def replaced() -> bool:
    """Whether this worker has been replaced: then it opens connections only for requests, and keeps no idle ones."""
    return bool(memory.mine().retired)


def wanted() -> bool:
    """Whether a trial, or another worker that has been replaced, is waiting for a connection."""
    header, now = memory.current().header, time.monotonic()
    return header.trial_waits_until > now or (header.replaced_waits_until > now and not replaced())


@contextlib.contextmanager
def _lock(shared: memory.Memory) -> Iterator[None]:
    """Inside, no other thread of this process and no other process of this instance changes a count."""
    with _threads:
        if shared.descriptor is None:
            yield
            return
        fcntl.lockf(shared.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(shared.descriptor, fcntl.LOCK_UN)
