"""A database connection for one check, with limits. It must not know what is checked."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta

from django.db import connection, transaction

from apps.lifecycle.dbpool.thread_limits import background

LIMIT = timedelta(seconds=2)
"""How long a check may take. After that its component is unhealthy, even if the check never ends."""
CHECKOUT = 1.5
"""Seconds that a check waits for a connection from the dbpool."""
HOLD = 2.0
"""Seconds that a check may keep a connection: its statements end sooner, unless the server is frozen or unreachable."""


@contextlib.contextmanager
def bounded_connection() -> Iterator[None]:
    """The database for one check: long statements are cancelled, and the connection goes back afterwards.

    A thread that kept its connection would leak one from the dbpool for each check.
    """
    try:
        if connection.vendor == "postgresql":
            with background(timeout=CHECKOUT, hold=HOLD), transaction.atomic(), connection.cursor() as cursor:
                # LOCAL, so that it also applies, and ends, behind PgBouncer in transaction mode.
                cursor.execute("SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '1500ms'")
                yield
        else:
            yield  # in SQLite a transaction would take the write lock, and reads never wait
    finally:
        if not connection.in_atomic_block:  # a test's own transaction
            connection.close()


def is_waiting_for_others(error: BaseException) -> bool:
    """Whether PostgreSQL gave up the statement because of a lock or a timeout: others are busy, nothing is broken."""
    return getattr(error.__cause__, "sqlstate", None) in {"55P03", "57014"}
