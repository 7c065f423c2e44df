"""The end of a database connection: it is over when PostgreSQL has closed its side. It must not know who asks.

A backend lives on for a moment after its client has closed: whoever opens another one in that moment has both.
"""

import contextlib
import os
import select
import time
from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import Connection, OperationalError

GONE = 1.0  # seconds for which the backends of closed connections are waited for


@contextlib.contextmanager
def until_gone(connections: Sequence[Connection[Any]]) -> Iterator[None]:
    """Wait, after these were closed inside, until PostgreSQL has closed its ends: GONE seconds at most."""
    ends = []
    for connection in connections:
        with contextlib.suppress(OSError, OperationalError):  # it was closed before
            ends.append(os.dup(connection.fileno()))
    try:
        yield
        limit = time.monotonic() + GONE
        for end in ends:
            select.select([end], [], [], max(0.0, limit - time.monotonic()))
    finally:
        for end in ends:
            os.close(end)
