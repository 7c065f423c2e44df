"""Cuts off connections in use that will never answer, so that no thread waits forever. It must not know the dbpool.

A frozen server still acknowledges packets: neither keepalives nor tcp_user_timeout end such a connection. Its own
statement_timeout is frozen too.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from apps.lifecycle.dbpool.postgresql import sessions
from apps.lifecycle.dbpool.postgresql.eviction import EvictionPolicy
from apps.lifecycle.dbpool.postgresql.sessions import Conn

logger = logging.getLogger(__name__)

INTERVAL = 0.5  # seconds
GRACE = 2.0  # seconds for a statement to end on a server that new connections no longer reach


class Checkout(NamedTuple):
    """Who has a connection: a request or background work; `until` is when background work must have given it back."""

    request: bool
    until: float | None
    writer: bool = False


class Watchdog:
    """`begin()` starts its thread, once; `step()` looks at the connections once."""

    def __init__(
        self, in_use: Callable[[], list[tuple[Conn, Checkout]]], policy: EvictionPolicy, silence: float
    ) -> None:
        self._in_use, self._policy, self._silence = in_use, policy, silence
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._cut: set[int] = set()  # those that were cut off and have not been given back yet

    def begin(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="dbpool-watch", daemon=True)
            self._thread.start()

    def end(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            self.step()

    def step(self) -> None:
        in_use = self._in_use()
        self._cut &= {id(connection) for connection, _ in in_use}
        for connection, use in in_use:
            reason = "" if id(connection) in self._cut else self._reason(connection, use)
            if reason:
                self._cut.add(id(connection))
                logger.warning("a database connection in use was cut off: %s", reason)
                sessions.cut(connection)

    def _reason(self, connection: Conn, use: Checkout) -> str:
        """Why the connection must be cut off; empty if it needn't be."""
        if connection.closed:
            return ""
        if use.until is not None and time.monotonic() > use.until:
            return "a check had no answer in its time"
        if self._policy.left_behind(getattr(connection, "pacsync_server", None)) > GRACE:
            return "new connections reach another server"
        if self._silence and sessions.silent_for(connection) > self._silence:
            return "the server is silent for longer than any statement may take"
        return ""
