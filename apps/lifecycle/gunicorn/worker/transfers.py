"""Incoming bodies and outgoing answers, each at its client's pace, in the worker's main loop and without a thread.

It must not know about requests: the worker says what comes next, and which transfer has to give way.

Reason: in gunicorn, the thread of a request also moves its body and its answer, as slowly as the client does.
Remove with whole_requests.py, which begins the transfers.
"""

import contextlib
import time
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any

from django.conf import settings

from apps.lifecycle.gunicorn.worker.connection import PIECE, Connection
from apps.lifecycle.gunicorn.worker.pace import Pace
from apps.lifecycle.work.tracked_work import operation_context

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Transfers:
    """All transfers of one worker in one direction. Shutdown waits for them, as tracked work under `name`."""

    name, total, event = "", "", 0

    def __init__(self, worker: Any) -> None:
        self.worker = worker
        self.conns: set[Connection] = set()
        self._work = operation_context(self.name)

    def begin(self, conn: Connection) -> None:
        if not self.conns:
            self._work.__enter__()
        conn.pace = Pace(getattr(settings, self.total))
        self.conns.add(conn)
        self.worker.poller.register(conn.sock, self.event, partial(self.go_on, conn))

    def end(self, conn: Connection) -> None:
        """Stop moving bytes of this connection here."""
        self.worker.poller.unregister(conn.sock)
        self.conns.remove(conn)
        if not self.conns:
            self._work.__exit__(None, None, None)

    def go_on(self, conn: Connection, client: Any) -> None:
        raise NotImplementedError

    def give_up(self, conn: Connection, *, slow: bool) -> None:
        raise NotImplementedError

    def end_slow(self) -> None:
        """Give up the transfers whose time is up."""
        now = time.monotonic()
        for conn in [one for one in self.conns if one.pace.ends() <= now]:
            self.give_up(conn, slow=True)


class BodyTransfers(Transfers):
    """Bodies on their way in. A request is handed over when its whole body has arrived."""

    name, total, event = "request_bodies", "REQUEST_BODY_TIMEOUT", EVENT_READ

    def gather(self, conn: Connection, head: int, length: int, *, expects: bool) -> None:
        """The first `head` bytes of what has arrived are the head; the rest is the beginning of a body of `length`."""
        reader = conn.reader
        reader.give(head)
        arrived = bytes(reader.ahead)
        reader.ahead.clear()
        conn.missing = length
        self.begin(conn)
        if expects and not arrived:
            with contextlib.suppress(OSError):
                conn.sock.sendall(CONTINUE)
            conn.sock.continued = True
        self._keep(conn, arrived)

    def _keep(self, conn: Connection, data: bytes) -> None:
        conn.missing -= len(data)
        conn.pace.move(len(data))
        try:
            conn.reader.body.append(data)
        except OSError as error:
            self.worker.log.warning("a request's body can't be kept: %s", error)
            self.give_up(conn, slow=False)

    def go_on(self, conn: Connection, client: Any) -> None:
        try:
            data = conn.sock.real.recv(min(PIECE, conn.missing))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.end(conn)
            self.worker.refuse(conn, 400, "bad_request", "The connection ended before the body did.")
            return
        self._keep(conn, data)
        if conn.missing == 0 and conn in self.conns:
            self.end(conn)
            self.worker.hand_over(conn)
        else:
            self.worker.keep_within_limits()

    def give_up(self, conn: Connection, *, slow: bool) -> None:
        self.end(conn)
        if slow:
            self.worker.refuse(conn, 408, "request_timeout", "The body took too long to arrive.")
        else:
            self.worker.refuse(conn, 503, "busy", "Too many bodies are on their way. Try again in a second.")


class AnswerTransfers(Transfers):
    """Answers on their way out. The connection goes on when its client has taken the whole answer."""

    name, total, event = "answers", "RESPONSE_TIMEOUT", EVENT_WRITE

    def go_on(self, conn: Connection, client: Any) -> None:
        try:
            conn.pace.move(conn.sock.flush())
        except OSError:
            self.end(conn)
            self.worker.close(conn)
            return
        if not conn.sock.pending:
            self.end(conn)
            conn.sock.pending.close()
            self.worker.answered(conn)

    def give_up(self, conn: Connection, *, slow: bool) -> None:
        self.worker.log.info("a client stalled in the middle of an answer: connection closed")
        self.end(conn)
        self.worker.nr_conns -= 1
        conn.reset()
