"""Waits for the end of closed connections: PostgreSQL has to close its side too. It must not know why they are closed.

A backend lives for a moment after its client has closed. A process that opens another one in that moment has both.
"""

import contextlib
import os
import select
import time
from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import Connection, OperationalError

GONE = 1.0  # seconds to wait for the backends of closed connections to end


@contextlib.contextmanager
def until_gone(connections: Sequence[Connection[Any]]) -> Iterator[None]:
    """The caller closes these inside. Afterwards, wait at most GONE seconds until PostgreSQL has closed its side."""
    ends = []
    for connection in connections:
        with contextlib.suppress(OSError, OperationalError):  # it was already closed
            ends.append(os.dup(connection.fileno()))
    try:
        yield
        limit = time.monotonic() + GONE
        for end in ends:
            select.select([end], [], [], max(0.0, limit - time.monotonic()))
    finally:
        for end in ends:
            os.close(end)
