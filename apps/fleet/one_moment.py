"""Several statements that read the database as it was at one moment. It must not know what they read.

Each statement sees what was committed before it. An answer that is put together from two of them is wrong where
something was written in between: an endpoint whose new version the first one didn't see yet would be without any.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction


@contextmanager
def one_moment() -> Iterator[None]:
    """Inside, every statement reads the same snapshot, and none may write.

    Within a transaction of the caller it changes nothing: what that one sees is the caller's decision. The snapshot
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
