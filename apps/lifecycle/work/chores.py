"""Chores: work that one worker of an instance, or only one of all instances, does from time to time.

It must not know what a chore does.
"""

import hashlib
from collections.abc import Callable

from django.db import connection, transaction

from apps.lifecycle.work import loops
from apps.lifecycle.work.tracked_work import operation_context


def register_chore(name: str, interval: float, step: Callable[[], object], exclusive: bool = True) -> None:
    """Have one worker of the instance run `step` every `interval` seconds; nothing starts while the instance drains.

    `exclusive`: only one of all instances at a time, see `run_exclusively`. Shutdown waits for a step under way.
    """

    def once() -> None:
        with operation_context(f"chore:{name}"):
            if exclusive:
                run_exclusively(name, step)
            else:
                step()

    loops.register(f"chore:{name}", interval, once)


def run_exclusively(name: str, step: Callable[[], object]) -> bool:
    """Run `step` unless another instance is running the chore `name`. Returns whether it ran.

    PostgreSQL: a transaction's advisory lock, which also works through PgBouncer and can't be left behind. So `step`
    runs inside one transaction. SQLite has one instance, whose leading worker runs its chores: no lock is needed.
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
