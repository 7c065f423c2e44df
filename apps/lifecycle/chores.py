"""Chores: what an instance, or one of all instances, does from time to time. It must not know what a chore is about."""

import hashlib
import logging
from collections.abc import Callable

from django.db import connection, transaction

from apps.lifecycle import loops
from apps.lifecycle.tracking import operation_context

logger = logging.getLogger(__name__)


def register_chore(name: str, interval: float, step: Callable[[], object], exclusive: bool = True) -> None:
    """Have `step` run every `interval` seconds by one worker of the instance; nothing starts while it drains.

    `exclusive`: by one instance of all at a time, see `run_exclusively`. Shutdown waits for a step that is under way.
    """

    def once() -> None:
        with operation_context(f"chore:{name}"):
            if exclusive:
                run_exclusively(name, step)
            else:
                step()

    loops.register(f"chore:{name}", interval, once)


def run_exclusively(name: str, step: Callable[[], object]) -> bool:
    """Run `step` unless another instance runs the chore `name` at the moment; whether it ran.

    PostgreSQL: an advisory lock of the transaction, which works through PgBouncer too and can't be left behind. So
    `step` runs inside one transaction. SQLite has one instance, whose leading worker runs its chores: no lock.
    """
    if connection.vendor != "postgresql":
        step()
        return True
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [lock_key(name)])
            (locked,) = cursor.fetchone()
        if locked:
            step()
    return bool(locked)


def lock_key(name: str) -> int:
    """The 64-bit key of the advisory lock of the chore `name`, the same in every version."""
    return int.from_bytes(hashlib.sha256(f"pacsync:{name}".encode()).digest()[:8], signed=True)
