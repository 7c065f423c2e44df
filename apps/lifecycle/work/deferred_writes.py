"""Writes that no request should wait for, such as when a token was last used: collected and made in batches.

They are kept in memory until then, so a process that is killed loses those of the last few seconds. It must not know
what is written.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import connection, transaction

from apps.lifecycle.dbpool import thread_limits

INTERVAL = 5.0
"""Seconds between two batches of a worker."""
LIMIT = 10_000
"""Keys of one kind that are kept; further ones are dropped until these are written."""
LIMITS = "SET LOCAL synchronous_commit = off; SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '2s'"
CHECKOUT = 1.5  # seconds that a batch waits for a connection


@dataclass
class _State:
    writers: dict[str, Callable[[set[Any]], object]] = field(default_factory=dict)
    pending: dict[str, set[Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


_state = _State()


def register(kind: str, write: Callable[[set[Any]], object]) -> None:
    """Have `write` called with the keys that were deferred under `kind`, outside requests, in a transaction."""
    _state.writers[kind] = write


def defer(kind: str, key: Any) -> None:
    """Have `key` written with the next batch. Never waits, never fails."""
    with _state.lock:
        keys = _state.pending.setdefault(kind, set())
        if len(keys) < LIMIT:
            keys.add(key)


def flush() -> None:
    """Write what was deferred. What can't be written is kept for the next batch; raises the database's error."""
    for kind, write in _state.writers.items():
        with _state.lock:
            keys = _state.pending.pop(kind, set())
        try:
            if keys:
                _write(write, keys)
        except AnyDatabaseError:
            for key in keys:
                defer(kind, key)
            raise


def _write(write: Callable[[set[Any]], object], keys: set[Any]) -> None:
    """Write in a transaction that waits neither for locks nor for a standby: losing it would do no harm."""
    with thread_limits.background(timeout=CHECKOUT), transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(LIMITS)
        write(keys)
