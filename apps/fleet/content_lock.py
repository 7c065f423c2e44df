"""One lock between those who add references to content and those who remove unreferenced content.

No foreign key guards the PackageVersion ids in a state's packed array, nor the digests in a revision's `repositories`;
where one does guard, it is checked only at the end of the transaction. So code that adds such a reference takes the
lock shared before it looks for what it refers to (after the locks of pools and endpoints, before any other), and
retention takes it exclusively. It must not know what is added or removed.
"""

import time

from django.db import connection, transaction

# Any number that nothing else in this database uses for an advisory lock: "pacsync" and "content" in a nutshell.
_CONTENT = 0x7061_6373_0001
TRIES, PAUSE = 20, 0.05
"""How often the exclusive lock is tried, with this many seconds between, before the work is put off."""


def share_content() -> None:
    """Until the end of this transaction nothing that is referred to is removed. Many may hold it at once."""
    _ask("SELECT pg_advisory_xact_lock_shared(%s)")


def own_content() -> bool:
    """Until the end of this transaction nobody else adds a reference. False if others held the lock all the time.

    It never queues: in PostgreSQL a shared request waits behind an exclusive one, so an instance that is frozen while
    it shares the lock would make every check-in wait.
    """
    for _ in range(TRIES):
        if _ask("SELECT pg_try_advisory_xact_lock(%s)"):
            return True
        time.sleep(PAUSE)
    return False


def _ask(statement: str) -> bool:
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("The content lock lasts until the end of a transaction.")
    if connection.vendor != "postgresql":  # SQLite's writing transactions are alone anyway (BEGIN IMMEDIATE)
        return True
    with connection.cursor() as cursor:
        cursor.execute(statement, [_CONTENT])
        (locked,) = cursor.fetchone()
    return locked is not False
