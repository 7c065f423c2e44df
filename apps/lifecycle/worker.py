"""A gthread worker whose threads get whole heads only, and whose main loop answers probes itself.

gthread gives each connection to a thread at once, which then reads as slowly as the client writes: as many dripping
clients as there are threads, and no probe is answered. Here the main loop looks at what has arrived, without taking it,
and hands the connection over when the head of the request is complete: a client that drips or keeps silent costs a
socket, no thread. A probe it doesn't hand over but answers at once, so that one needs no thread either, whatever the
threads are doing. So nothing here may wait for a client. It must not know what a probe says; a probe goes through the
application like any other request.
"""

import errno
import fcntl
import re
import select
import signal
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

from apps.lifecycle import hooks, memory

END = b"\r\n\r\n"
GONE = END  # nobody is there any more: a thread finds out
LOOK = 16 * 1024  # bytes that are looked at; a head that is longer is a thread's matter, and gunicorn's own limits
LINGER = 2.0  # seconds for which a connection that we have ended is read, so that the client gets our answer; RFC 9112
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
PAUSE = 0.05  # seconds without accepting, when there is nothing left to accept with
# Those whose answers need no I/O and no waiting (apps/health/answers.py).
PROBE = re.compile(rb"(?:GET|HEAD) /health(?:/(?:live|ready|startup))?/?[ ?]")
# What could make the main loop wait: a body, or another protocol.
WAITS = re.compile(rb"\n(?:content-length|transfer-encoding|expect|upgrade)[ \t]*:", re.IGNORECASE)


class Worker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """`gathering` are the connections whose head isn't complete, `lingering` those that we have ended; oldest first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gathering: deque[Any] = deque()
        self.lingering: deque[Any] = deque()

    def init_signals(self) -> None:
        """gunicorn's handlers, but what the master alone handles is ignored, and a SIGTERM that isn't the master's."""
        super().init_signals()
        hooks.ignore_what_is_the_masters()
        signal.signal(signal.SIGTERM, self._end_if_meant)
        signal.siginterrupt(signal.SIGTERM, False)

    def _end_if_meant(self, number: int, frame: Any) -> None:
        if hooks.is_meant(self):
            self.handle_exit(number, frame)

    # --- a request comes ------------------------------------------------------------------------------------------
    def accept(self, listener: Any) -> bool:
        """Too many connections end the oldest one that has asked nothing yet, else the one that is idle longest. False
        when nothing is left to accept with."""
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            self.log.warning("no connection can be accepted: %s", error)
            if not self._make_room():
                time.sleep(PAUSE)
            return False
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        return True

    def set_accept_enabled(self, enabled: bool) -> None:
        """Once the worker ends: answer who is connected already, then let the kernel refuse the next ones, whom a load
        balancer then sends elsewhere. gunicorn keeps the listener open until it is done, and whoever connects meanwhile
        is reset at the end."""
        super().set_accept_enabled(enabled)
        if enabled:
            memory.mine().accepting()  # from now on the master may end the worker that this one replaces
        if enabled or self.alive:
            return
        for listener in (one for one in self.sockets if one.sock):
            while self.nr_conns < self.worker_connections and has_connection(listener) and self.accept(listener):
                pass
            listener.close()

    def _make_room(self) -> bool:
        for conns in (self.gathering, self.keepalived_conns):
            if conns:
                self._drop(conns.popleft())
                return True
        return False

    def _drop(self, conn: Any) -> None:
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def enqueue_req(self, conn: Any) -> None:
        """To a thread when the head is complete, else to the poller; a probe is answered."""
        if self.cfg.is_ssl:
            super().enqueue_req(conn)
            return
        head = arrived(conn)
        if is_complete(head):
            self._go_on(conn, head)
            return
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + (settings.REQUEST_READ_TIMEOUT or float("inf"))
        self.gathering.append(conn)
        self._look_again(conn, head)

    def _look_again(self, conn: Any, head: bytes) -> None:
        # What has been seen stays in the socket: only more of it makes the socket readable again.
        more = len(head) - len(read_ahead(conn)) + 1
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, more)
        self.poller.register(conn.sock, EVENT_READ, partial(self._more_arrived, conn, len(head)))

    def _more_arrived(self, conn: Any, before: int, client: Any) -> None:
        self.poller.unregister(client)
        head = arrived(conn)
        if is_complete(head) or len(head) <= before:  # readable without more: the client has ended its part
            self.gathering.remove(conn)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            conn.data_ready = True
            self._go_on(conn, head)
        else:
            self._look_again(conn, head)

    def _go_on(self, conn: Any, head: bytes) -> None:
        # One that was read ahead goes to a thread: a thousand probes in one packet aren't answered in one go.
        if not is_probe(head) or read_ahead(conn) or unsent(conn.sock):
            super().enqueue_req(conn)
            return
        conn.data_ready = True
        done: Future[object] = Future()
        done.set_result(self.handle(conn))
        self.finish_request(conn, done)

    # --- a request is done ----------------------------------------------------------------------------------------
    def finish_request(self, conn: Any, fs: "Future[object]") -> None:
        """Keep the connection, or end it; gunicorn's main loop would wait for the client to end its part, too."""
        ended = fs.cancelled() or fs.exception() is not None or not fs.result()
        if ended and not self.cfg.is_ssl:
            self._linger(conn)
        else:
            super().finish_request(conn, fs)

    def _linger(self, conn: Any) -> None:
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.nr_conns -= 1
            conn.close()
            return
        conn.timeout = time.monotonic() + (LINGER if self.alive else LINGER / 4)
        self.lingering.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self._drain, conn))

    def _drain(self, conn: Any, client: Any) -> None:
        try:
            ended = not client.recv(LOOK)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            self.lingering.remove(conn)
            self._drop(conn)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGQUIT. gunicorn's gthread closes its threads in this handler, which needs the lock that the main loop holds
        when it has been interrupted in handing over a request: the worker would hang until it is killed, without its
        cleanup. The process ends with its threads (hooks.worker_exit)."""
        super(gthread.ThreadWorker, self).handle_quit(sig, frame)

    # --- time passes ----------------------------------------------------------------------------------------------
    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Until the next connection's time is over, `timeout` seconds at most."""
        times = [conns[0].timeout - time.monotonic() for conns in (self.gathering, self.lingering) if conns]
        super().wait_for_and_dispatch_events(max(0.0, min([timeout, *times])))

    def murder_pending(self) -> None:
        """Cut off whoever has taken too long to send a head; called each second, also by a worker that ends."""
        super().murder_pending()
        now = time.monotonic()
        if not self.alive:
            for conn in self.gathering:
                conn.timeout = min(conn.timeout, now + gthread.STOP_KEEPALIVE_LINGER)
        while self.gathering and self.gathering[0].timeout <= now:
            conn = self.gathering.popleft()
            if arrived(conn) not in (b"", GONE):
                self.log.info("a client stalled in the middle of a request: connection closed")
            self._drop(conn)
        while self.lingering and self.lingering[0].timeout <= now:
            self._drop(self.lingering.popleft())


def has_connection(listener: Any) -> bool:
    """Whether somebody waits to be accepted."""
    return bool(select.select([listener], [], [], 0)[0])


def read_ahead(conn: Any) -> bytes:
    """The part of the next request that was read together with the last one: the socket doesn't know of it."""
    return conn.parser.unreader.buf.getvalue() if conn.parser is not None else b""


def arrived(conn: Any) -> bytes:
    """What has arrived and not been parsed; it ends with GONE after the end of the connection or an error."""
    head = read_ahead(conn)
    try:
        return head + (conn.sock.recv(LOOK, socket.MSG_PEEK | socket.MSG_DONTWAIT) or GONE)
    except BlockingIOError:
        return head
    except OSError:
        return head + GONE


def is_complete(head: bytes) -> bool:
    """Whether a thread should go on with it: a complete head, one that is too long to be looked at, or GONE."""
    return END in head or len(head) >= LOOK


def is_probe(head: bytes) -> bool:
    """Whether it is a probe's complete head and nothing more to wait for."""
    lines, end, _ = head.partition(END)
    return bool(end) and PROBE.match(lines) is not None and WAITS.search(lines) is None


def unsent(sock: Any) -> int:
    """How many bytes the client hasn't taken yet: then the next answer might have to wait, and that is a thread's."""
    return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0])
