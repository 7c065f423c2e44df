"""Whole requests: a thread gets a request with its whole body, and leaves it to the main loop to deliver the answer.

It must not know what a route does or which client gives way (slow_clients.py).

Reason: gthread's threads read a body and write an answer as slowly as the client does, without a limit.
Upstream: https://github.com/benoitc/gunicorn/issues/2222 (the advice: use a buffering proxy) and
https://github.com/benoitc/gunicorn/issues/3301 (a body that the application doesn't read blocks the thread).
Remove when gunicorn buffers bodies and answers outside its threads.
"""

import re
import time
from collections import deque
from concurrent.futures import Future
from functools import partial
from selectors import EVENT_READ
from typing import Any

from django.conf import settings
from gunicorn.workers import gthread

from apps.lifecycle.gunicorn import probe_paths
from apps.lifecycle.gunicorn.worker import request_bodies
from apps.lifecycle.gunicorn.worker.connection import Connection
from apps.lifecycle.gunicorn.worker.connections import Connections
from apps.lifecycle.gunicorn.worker.places import Places, Turns
from apps.lifecycle.wsgi import admission
from apps.lifecycle.wsgi.admission import BUSY, Admission

BEGIN = 0.01  # seconds of each round of the main loop in which requests are handed over or refused
PIPELINED = 1000  # requests that one connection may have answered without a pause
# After a head with one of these, more follows: a body, or another protocol.
MORE = re.compile(rb"\n(?:content-length|transfer-encoding|expect|upgrade)[ \t]*:", re.IGNORECASE)


class WholeRequests(Connections):
    """From a complete head to the end of the answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.places = Places()
        # Threads for pages of health, so that these don't delay requests, nor the other way round.
        self.health_turns = Turns(max(1, settings.WEB_THREADS - settings.WEB_REQUEST_LIMIT))
        self.arrived: deque[tuple[Connection, bytes]] = deque()

    def begin_request(self, conn: Connection, head: bytes) -> None:
        """The connection's next request has this head, which is complete."""
        conn.sock.continued = False
        if probe_paths.is_of_health(head):
            conn.admission = Admission.UNDECIDED
            self._begin(conn, head)
        else:
            conn.admission = Admission.ADMITTED
            self.arrived.append((conn, head))

    def begin_arrived(self) -> None:
        """Begin the requests that have arrived, and refuse those that have waited for too long, for BEGIN seconds.

        To refuse one takes longer than to accept it, and a probe must not wait until all others are refused.
        """
        end = time.monotonic() + BEGIN
        self.places.refuse_overdue(until=end)
        while self.arrived and time.monotonic() < end:
            self._begin(*self.arrived.popleft())

    def _begin(self, conn: Connection, head: bytes) -> None:
        if MORE.search(head):
            self.begin_with_body(conn, head)
        else:
            self.begin_without_body(conn, head)

    def begin_without_body(self, conn: Connection, head: bytes) -> None:
        self.hand_over(conn, len(head))

    def begin_with_body(self, conn: Connection, head: bytes) -> None:
        ahead = conn.reader.ahead
        found = request_bodies.announced(self.cfg, head, conn.client, conn.parser.req_count + 1 if conn.parser else 1)
        if found is None:
            self.hand_over_as_it_is(conn)  # gunicorn's parser refuses it
            return
        conn.path = found.path
        if found.length is None:  # chunked: Django reads no such body, and nobody knows when it ends
            self.refuse(conn, 411, "length_required", "The body came without Content-Length.")
        elif found.length > found.limit:
            self.refuse(conn, 413, "too_large", f"The body may have {found.limit} bytes at most.")
        elif len(head) + found.length <= len(ahead):
            self.hand_over(conn, len(head) + found.length)
        elif found.is_large:
            self.places.ask(partial(self._ask_sender, conn, head, found), partial(self.refuse, conn, 503, "busy", BUSY))
        else:
            self.bodies.gather(conn, len(head), found.length, expects=found.expects)

    def _ask_sender(self, conn: Connection, head: bytes, found: Any) -> None:
        """Have a thread find out whether the sender may send a large body."""
        asked = self.tpool.submit(self.places.serve, partial(request_bodies.refusal_of, found, conn.client))
        asked.add_done_callback(lambda answer: self.method_queue.defer(self._take_body, conn, head, found, answer))

    def _take_body(self, conn: Connection, head: bytes, found: Any, asked: "Future[Any]") -> None:
        """Take a large body, unless the application has refused its sender by now."""
        self.places.leave()
        refused = None if asked.cancelled() or asked.exception() else asked.result()
        if refused:
            self.refuse(conn, *refused)
        else:
            self.bodies.gather(conn, len(head), found.length, expects=found.expects)

    def hand_over(self, conn: Connection, size: int = 0) -> None:
        """Give the request to a thread: the first `size` bytes of what arrived; 0: the reader already has it."""
        if size:
            conn.reader.give(size)
        conn.init()
        start = partial(gthread.ThreadWorker.enqueue_req, self, conn)
        if conn.admission is Admission.ADMITTED:
            self.places.ask(start, partial(self._answer_busy, conn))
        else:
            self.health_turns.ask(start)

    def _answer_busy(self, conn: Connection) -> None:
        """Have the bulkhead refuse the whole request here, without a thread: counted and logged like any other."""
        conn.admission, conn.last = Admission.REFUSED, True
        self.finished(conn, kept=bool(self.handle(conn)))

    def hand_over_as_it_is(self, conn: Connection) -> None:
        """Give everything that arrived to a thread, and end the connection after the answer."""
        conn.last = True
        self.hand_over(conn, len(conn.reader.ahead))

    def handle(self, conn: Any) -> object:
        """Runs in a thread, for probes and refusals in the main loop."""
        if isinstance(conn, Connection) and conn.admission is Admission.ADMITTED:
            return self.places.serve(partial(super().handle, conn))
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> bool:
        """If the connection ends, the answer says so."""
        if not isinstance(conn, Connection):
            return bool(super().handle_request(req, conn))
        if conn.last:
            req.force_close()
        with admission.decided(conn.admission):
            return bool(super().handle_request(req, conn))

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """Runs in a thread. gunicorn would read the unread rest of the body from the client; here the spool has it."""
        if not isinstance(conn, Connection):
            return bool(super()._keepalive_after(conn, keepalive))
        if not keepalive or conn.last or conn.parser.mesg.body.failed:
            return False
        conn.parser.mesg = None
        conn.reader.clear()
        return True

    def finish_request(self, conn: Any, fs: "Future[object]") -> None:
        """A thread has answered."""
        if not isinstance(conn, Connection):
            super().finish_request(conn, fs)
            return
        if conn.admission is Admission.ADMITTED:
            self.places.leave()
        else:
            self.health_turns.leave()
        self.finished(conn, kept=not fs.cancelled() and fs.exception() is None and bool(fs.result()))

    def finished(self, conn: Connection, *, kept: bool) -> None:
        """The answer is made: deliver the rest of it, then keep the connection or end it."""
        conn.kept = kept
        if conn.sock.pending:
            self.answers.begin(conn)
            self.keep_within_limits()
        else:
            self.answered(conn)

    def answered(self, conn: Connection) -> None:
        """The client has taken the answer: continue with its next request, wait for one, or end."""
        conn.path = ""
        if not conn.kept:
            self.linger(conn)
        elif conn.reader.ahead:
            conn.in_a_row += 1
            conn.last = conn.in_a_row >= PIPELINED
            self.find_head(conn)
        else:
            conn.in_a_row = 0
            conn.set_timeout()
            if not self.alive:
                conn.timeout = min(conn.timeout, time.monotonic() + gthread.STOP_KEEPALIVE_LINGER)
            self.keepalived_conns.append(conn)
            self.poller.register(conn.sock, EVENT_READ, partial(self.on_client_socket_readable, conn))
