"""A gthread worker whose threads get whole heads only: a client that drips or keeps silent costs a socket, no thread.

gthread gives each connection to a thread at once, which then reads as slowly as the client writes: as many dripping
clients as there are threads, and no probe is answered. Here the main loop looks at what has arrived, without taking it,
and hands the connection over when the head of the request is complete. It must not know HTTP beyond the end of a head.
"""

import socket
import time
from collections import deque
from functools import partial
from selectors import EVENT_READ
from typing import Any

from django.conf import settings
from gunicorn.workers import gthread

END = b"\r\n\r\n"
LOOK = 16 * 1024  # bytes that are looked at; a head that is longer is a thread's matter, and gunicorn's own limits


class Worker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """`gathering` are the connections whose head isn't complete, oldest first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gathering: deque[Any] = deque()

    def enqueue_req(self, conn: Any) -> None:
        """To a thread when the head is complete, else to the poller."""
        seen = -1 if self.cfg.is_ssl or has_read_ahead(conn) else arrived(conn.sock)
        if seen < 0:
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + (settings.REQUEST_READ_TIMEOUT or float("inf"))
        self.gathering.append(conn)
        self._look_again(conn, seen)

    def _look_again(self, conn: Any, seen: int) -> None:
        # What has been seen stays in the socket: only more of it makes the socket readable again.
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, seen + 1)
        self.poller.register(conn.sock, EVENT_READ, partial(self._more_arrived, conn, seen))

    def _more_arrived(self, conn: Any, before: int, client: Any) -> None:
        self.poller.unregister(client)
        seen = arrived(conn.sock)
        if seen <= before:  # complete, or readable without more: the client has ended its part
            self.gathering.remove(conn)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            conn.data_ready = True
            super().enqueue_req(conn)
        else:
            self._look_again(conn, seen)

    def murder_pending(self) -> None:
        """Cut off whoever has taken too long to send a head; called each second, also by a worker that ends."""
        super().murder_pending()
        now = time.monotonic()
        if not self.alive:
            for conn in self.gathering:
                conn.timeout = min(conn.timeout, now + gthread.STOP_KEEPALIVE_LINGER)
        while self.gathering and self.gathering[0].timeout < now:
            conn = self.gathering.popleft()
            if arrived(conn.sock) > 0:
                self.log.info("a client stalled in the middle of a request: connection closed")
            self.poller.unregister(conn.sock)
            self.nr_conns -= 1
            conn.close()


def has_read_ahead(conn: Any) -> bool:
    """Whether a part of the next request was read together with the last one: the socket doesn't know of it."""
    return conn.parser is not None and bool(conn.parser.unreader.buf.getvalue())


def arrived(sock: Any) -> int:
    """How many bytes of an incomplete head have arrived; -1 when a thread should go on with it.

    That is a complete head, one that is too long to be looked at, the end of the connection, or an error.
    """
    try:
        seen = sock.recv(LOOK, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return 0
    except OSError:
        return -1
    return -1 if not seen or END in seen or len(seen) == LOOK else len(seen)
