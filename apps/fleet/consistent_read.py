"""Lets several statements read the database as it was at one moment. It must not know what they read.

Each statement sees what was committed before it. An answer from two statements is wrong if something was written in
between: an endpoint could be listed without a version that it has just got.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction


@contextmanager
def consistent_read() -> Iterator[None]:
    """Inside, every statement reads the same snapshot, and none may write.

    Inside a transaction of the caller it changes nothing: the caller decides what that sees. The snapshot
    needs no lock and works on a read-only server. It ends with a ROLLBACK, so that no limit of a COMMIT applies to it.
    """
    if connection.in_atomic_block:
        yield
        return
    with _beginning_deferred(), transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
        transaction.set_rollback(True)


@contextmanager
def _beginning_deferred() -> Iterator[None]:
    """On SQLite a transaction begun here takes no write lock, as the others do at once."""
    if connection.vendor != "sqlite":
        yield
        return
    sqlite: Any = connection  # the type stubs don't know what is its alone
    sqlite.ensure_connection()
    usual, sqlite.transaction_mode = sqlite.transaction_mode, "DEFERRED"
    try:
        yield
    finally:
        sqlite.transaction_mode = usual
