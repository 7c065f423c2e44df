"""The connections of a worker: how many there may be, which one gives way, and how one ends.

It must not know requests (apps/lifecycle/worker.py). Nothing here waits for a client.
"""

import contextlib
import socket
import time
from collections import Counter, deque
from functools import cached_property, partial
from selectors import EVENT_READ
from typing import Any

from django.conf import settings
from gunicorn.workers import gthread

from apps.lifecycle import spool
from apps.lifecycle.connection import PIECE, Connection
from apps.lifecycle.refusals import refusal
from apps.lifecycle.sources import Sources
from apps.lifecycle.transfers import Answers, Bodies, Transfers

LINGER = 2.0  # seconds for which a connection that we have ended is read, so that the client gets our answer; RFC 9112
REFUSED_LINGER = 10.0  # the same when it may be sending a body that we don't take


def gathers(cfg: Any) -> bool:
    """Whether requests can be gathered: not under TLS or other protocols, which gunicorn reads in a thread itself."""
    return not cfg.is_ssl and "h2" not in cfg.http_protocols and cfg.proxy_protocol == "off"


class ConnectionKeeper(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """`gathering` are the connections whose head isn't complete, `lingering` those that we have ended, `refused` those
    of them that may still be sending; oldest first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gathering: deque[Any] = deque()
        self.lingering: deque[Any] = deque()
        self.refused: deque[Any] = deque()
        self.bodies, self.answers = Bodies(self), Answers(self)
        self.sources = Sources(settings.WEB_SOURCE_CONNECTIONS, self.cfg)

    @cached_property
    def gathers(self) -> bool:
        return gathers(self.cfg)

    def take_connection(self, listener: Any) -> None:
        """Accept one connection, and look for its request; one too many of its source is refused."""
        if not self.gathers:
            super().accept(listener)
            return
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        conn = Connection(self.cfg, client, address, listener.getsockname())
        if self.sources.add(conn) or self.make_room(source=conn.source):
            self.enqueue_req(conn)
        else:
            self.refuse(conn, 429, "too_many_connections", "This address has too many connections open.")

    def make_room(self, source: str | None = None) -> bool:
        """End a connection (of `source`) that does nothing; without a source even one that does little."""
        for conns in (self.gathering, self.keepalived_conns, self.lingering, self.refused):
            found = next((conn for conn in conns if source is None or conn.source == source), None)
            if found is not None:
                conns.remove(found)
                self.drop(found)
                return True
        if source is not None or not self._end_slowest():
            return False
        if self.refused:  # it has its answer; there is no room to wait until it has read it
            self.drop(self.refused.popleft())
        return True

    def _end_slowest(self) -> bool:
        """Of those who send or take slowly: the slowest one of the address that has most with us."""
        found: dict[Connection, Transfers] = {conn: many for many in (self.bodies, self.answers) for conn in many.conns}
        if not found:
            return False
        held: Counter[str] = Counter()
        for conn in found:
            held[conn.address] += conn.held
        most = held.most_common(1)[0][0]
        slowest = min((conn for conn in found if conn.address == most), key=lambda conn: conn.pace.standing())
        found[slowest].give_up(slowest, slow=False)
        return True

    def keep_within_limits(self) -> None:
        """End the slowest when too many bytes wait."""
        if spool.total() > settings.WEB_SPOOL_LIMIT:
            self._end_slowest()

    def close(self, conn: Any) -> None:
        """At once. The poller doesn't know it."""
        self.nr_conns -= 1
        conn.close()

    def drop(self, conn: Any) -> None:
        """The same, when the poller knows it."""
        self.poller.unregister(conn.sock)
        self.close(conn)

    def refuse(self, conn: Connection, status: int, code: str, detail: str) -> None:
        """Answer without a thread, and end the connection. The poller doesn't know it."""
        extra = {"code": code, "status": status, "remote": conn.address}
        self.log.info("request refused: %s %s", code, conn.path, extra=extra)
        with contextlib.suppress(OSError):
            conn.sock.sendall(refusal(status, code, detail))
        self.linger(conn, refused=True)

    def linger(self, conn: Connection, *, refused: bool = False) -> None:
        """Send the end, and read for a while: a client that is still sending would get a reset before our answer."""
        queue, seconds = (self.refused, REFUSED_LINGER) if refused else (self.lingering, LINGER)
        conn.reader.clear()
        try:
            conn.sock.real.shutdown(socket.SHUT_WR)
        except OSError:
            self.close(conn)
            return
        conn.timeout = time.monotonic() + (seconds if self.alive else LINGER / 4)
        queue.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self._drain, conn, queue))

    def _drain(self, conn: Connection, queue: "deque[Any]", client: Any) -> None:
        try:
            ended = not conn.sock.real.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            queue.remove(conn)
            self.drop(conn)
