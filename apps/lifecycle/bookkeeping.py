"""What requests note in passing (who was last seen using what), written later in batches, so that no request waits.

It is kept in memory until then: a process that is killed loses the last seconds of it. It must not know what is noted.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import connection, transaction

from apps.lifecycle import dbpool

INTERVAL = 5.0
"""Seconds between two batches of a worker."""
LIMIT = 10_000
"""Notes of one kind that are kept; further ones are dropped until these are written."""
LIMITS = "SET LOCAL synchronous_commit = off; SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '2s'"
CHECKOUT = 1.5  # seconds that a batch waits for a connection

_writers: dict[str, Callable[[set[Any]], object]] = {}
_noted: dict[str, set[Any]] = {}
_lock = threading.Lock()


def register(kind: str, write: Callable[[set[Any]], object]) -> None:
    """Have `write` called with the keys that were noted under `kind`, outside of requests, in a transaction."""
    _writers[kind] = write


def note(kind: str, key: Any) -> None:
    """Note `key` for the next batch. Never waits, never fails."""
    with _lock:
        keys = _noted.setdefault(kind, set())
        if len(keys) < LIMIT:
            keys.add(key)


def flush() -> None:
    """Write what was noted. What can't be written is kept for the next time; raises the database's error."""
    for kind, write in _writers.items():
        with _lock:
            keys = _noted.pop(kind, set())
        if not keys:
            continue
        try:
            with _unhurried():
                write(keys)
        except AnyDatabaseError:
            for key in keys:
                note(kind, key)
            raise


@contextlib.contextmanager
def _unhurried() -> Iterator[None]:
    """A transaction that waits neither for locks nor for a standby: losing it would do no harm."""
    with dbpool.background(timeout=CHECKOUT), transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(LIMITS)
        yield
