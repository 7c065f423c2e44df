"""A gthread worker whose threads get whole heads only, and whose main loop answers probes itself.

gthread gives each connection to a thread at once, which then reads as slowly as the client writes: as many dripping
clients as there are threads, and no probe is answered. Here the main loop looks at what has arrived, without taking it,
and hands the connection over when the head of the request is complete: a client that drips or keeps silent costs a
socket, no thread. A probe it doesn't hand over but answers at once, so that one needs no thread either, whatever the
threads are doing. It must not know what a probe says; it goes through the application like any other request.
"""

import fcntl
import re
import socket
import struct
import termios
import time
from collections import deque
from concurrent.futures import Future
from functools import partial
from selectors import EVENT_READ
from typing import Any

from django.conf import settings
from gunicorn.workers import gthread

END = b"\r\n\r\n"
GONE = END  # nobody is there any more: a thread finds out
LOOK = 16 * 1024  # bytes that are looked at; a head that is longer is a thread's matter, and gunicorn's own limits
# Those whose answers need no I/O and no waiting (apps/health/answers.py).
PROBE = re.compile(rb"(?:GET|HEAD) /health(?:/(?:live|ready|startup))?/?[ ?]")
# What could make the main loop wait: a body, or another protocol.
WAITS = re.compile(rb"\n(?:content-length|transfer-encoding|expect|upgrade)[ \t]*:", re.IGNORECASE)


class Worker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """`gathering` are the connections whose head isn't complete, oldest first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gathering: deque[Any] = deque()

    def enqueue_req(self, conn: Any) -> None:
        """To a thread when the head is complete, else to the poller; a probe is answered."""
        if self.cfg.is_ssl or has_read_ahead(conn):
            super().enqueue_req(conn)
            return
        head = arrived(conn.sock)
        if is_complete(head):
            self._go_on(conn, head)
            return
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + (settings.REQUEST_READ_TIMEOUT or float("inf"))
        self.gathering.append(conn)
        self._look_again(conn, len(head))

    def _go_on(self, conn: Any, head: bytes) -> None:
        if not is_probe(head) or unsent(conn.sock):
            super().enqueue_req(conn)
            return
        conn.data_ready = True
        done: Future[object] = Future()
        done.set_result(self.handle(conn))
        self.finish_request(conn, done)

    def _look_again(self, conn: Any, seen: int) -> None:
        # What has been seen stays in the socket: only more of it makes the socket readable again.
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, seen + 1)
        self.poller.register(conn.sock, EVENT_READ, partial(self._more_arrived, conn, seen))

    def _more_arrived(self, conn: Any, before: int, client: Any) -> None:
        self.poller.unregister(client)
        head = arrived(conn.sock)
        if is_complete(head) or len(head) <= before:  # readable without more: the client has ended its part
            self.gathering.remove(conn)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            conn.data_ready = True
            self._go_on(conn, head)
        else:
            self._look_again(conn, len(head))

    def murder_pending(self) -> None:
        """Cut off whoever has taken too long to send a head; called each second, also by a worker that ends."""
        super().murder_pending()
        now = time.monotonic()
        if not self.alive:
            for conn in self.gathering:
                conn.timeout = min(conn.timeout, now + gthread.STOP_KEEPALIVE_LINGER)
        while self.gathering and self.gathering[0].timeout < now:
            conn = self.gathering.popleft()
            if arrived(conn.sock) not in (b"", GONE):
                self.log.info("a client stalled in the middle of a request: connection closed")
            self.poller.unregister(conn.sock)
            self.nr_conns -= 1
            conn.close()


def has_read_ahead(conn: Any) -> bool:
    """Whether a part of the next request was read together with the last one: the socket doesn't know of it."""
    return conn.parser is not None and bool(conn.parser.unreader.buf.getvalue())


def arrived(sock: Any) -> bytes:
    """What has arrived and not been read; GONE after the end of the connection or an error."""
    try:
        return sock.recv(LOOK, socket.MSG_PEEK | socket.MSG_DONTWAIT) or GONE
    except BlockingIOError:
        return b""
    except OSError:
        return GONE


def is_complete(head: bytes) -> bool:
    """Whether a thread should go on with it: a complete head, one that is too long to be looked at, or GONE."""
    return END in head or len(head) == LOOK


def is_probe(head: bytes) -> bool:
    """Whether it is a probe's head and nothing more to wait for."""
    return PROBE.match(head) is not None and WAITS.search(head) is None


def unsent(sock: Any) -> int:
    """How many bytes the client hasn't taken yet: then the next answer might have to wait, and that is a thread's."""
    return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0])
