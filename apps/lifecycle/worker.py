"""A gthread worker whose threads never wait for a client, and whose main loop answers probes itself.

gthread gives each connection to a thread at once, which then reads and writes as slowly as the client does: as many
slow clients as there are threads, and no probe is answered. Here the main loop reads, and hands a request over when all
of it has come, its body included. What a client doesn't take of its answer, the main loop writes (transfers.py). So a
client that drips, stalls or reads nothing costs a socket, no thread. A probe is answered at once, whatever the threads
do. Nothing here may wait for a client. It must not know what a probe says; a probe goes through the application like
any other request.
"""

import contextlib
import errno
import os
import re
import signal
import socket
import time
from concurrent.futures import Future
from functools import partial
from selectors import EVENT_READ
from typing import Any

from django.conf import settings
from gunicorn.workers import gthread

from apps.lifecycle import bodies, hooks, listeners, memory, phase
from apps.lifecycle.connection import Connection
from apps.lifecycle.connections import ConnectionKeeper

END = b"\r\n\r\n"
LOOK = 16 * 1024  # bytes that are read at once of a head
HEAD_LIMIT = 64 * 1024  # bytes of a head; gunicorn's own limits for its lines are lower
SEND_BUFFER = 128 * 1024  # bytes that the kernel takes of an answer: more would hide from us that nobody takes it
PIPELINED = 1000  # requests that one connection may have answered without a pause
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
PAUSE = 0.05  # seconds without accepting, when there is nothing left to accept with
SETTLE = 0.1  # seconds in which handshakes that are under way end
# Those whose answers need no I/O and no waiting (apps/health/answers.py). One that leaves checks out puts together what
# all workers have found, for people; that is work for a thread (apps/health/inspection.py).
PROBE = re.compile(rb"(?:GET|HEAD) /health(?:/(?:live|ready|startup))?/?(?: |\?(?![^ ]*exclude=))")
# Behind such a head comes more: a body, or another protocol.
MORE = re.compile(rb"\n(?:content-length|transfer-encoding|expect|upgrade)[ \t]*:", re.IGNORECASE)


class Worker(ConnectionKeeper):
    """The main loop's part of a request: it is read before a thread has it, and its answer written after that."""

    owns_listeners = True  # else systemd has them, and keeps who waits for the next start
    _looked = 0.0  # when slow transfers were looked for

    def init_signals(self) -> None:
        """gunicorn's handlers, but what the master alone handles is ignored, and a SIGTERM that isn't the master's."""
        super().init_signals()
        hooks.ignore_what_is_the_masters()
        signal.signal(signal.SIGTERM, self._end_if_meant)
        signal.siginterrupt(signal.SIGTERM, False)

    def _end_if_meant(self, number: int, frame: Any) -> None:
        if not hooks.is_meant(self):
            return
        if not self.booted:  # it still loads the application, and has nothing to finish
            os._exit(0)
        self.handle_exit(number, frame)

    # --- a connection comes ---------------------------------------------------------------------------------------
    def accept(self, listener: Any) -> bool:
        """Too many connections end the oldest one that has asked nothing yet, else the one that is idle longest, else
        the slowest. False when nothing is left to accept with."""
        try:
            self.take_connection(listener)
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            self.log.warning("no connection can be accepted: %s", error)
            if not self.make_room():
                time.sleep(PAUSE)
            return False
        if self.nr_conns >= self.worker_connections:
            self.make_room()
        return True

    def set_accept_enabled(self, enabled: bool) -> None:
        """Once the worker ends: answer who is connected already, then let the kernel refuse the next ones, whom a load
        balancer then sends elsewhere. gunicorn keeps the listener open until it is done, and whoever connects meanwhile
        is reset at the end."""
        super().set_accept_enabled(enabled)
        if enabled:
            for listener in self.sockets:
                listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            memory.mine().accepting()  # from now on the master may end the worker that this one replaces
        if enabled or self.alive:
            return
        seconds = SETTLE if self._closes_last() else 0.0
        for listener in (one for one in self.sockets if one.sock):
            if seconds:
                with contextlib.suppress(OSError):
                    listeners.refuse_new(listener.sock)
            end = time.monotonic() + seconds
            while (
                self.nr_conns < self.worker_connections
                and listeners.has_connection(listener, end)
                and self.accept(listener)
            ):
                pass
            listener.close()

    def _closes_last(self) -> bool:
        """Whether the listeners end with this worker: whoever comes later than that is reset."""
        memory.mine().close()
        if not self.owns_listeners or phase.current() is not phase.Phase.STOPPING:
            return False
        others = (slot for slot in memory.current().live() if slot.index != memory.mine().index)
        return all(slot.closed or not slot.ready for slot in others)

    # --- a request comes ------------------------------------------------------------------------------------------
    def enqueue_req(self, conn: Any) -> None:
        """To a thread when all of it is here, else to the poller; a probe is answered."""
        if not isinstance(conn, Connection):
            super().enqueue_req(conn)
        elif self._receive(conn):
            self._look(conn)
        else:
            self.close(conn)

    def _receive(self, conn: Connection) -> bool:
        """Take what has arrived. False when the client has ended its part."""
        try:
            data = conn.sock.real.recv(LOOK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        conn.reader.ahead += data
        return bool(data)

    def _look(self, conn: Connection) -> None:
        size = head_size(conn)
        if size:
            self._begin(conn, size)
        elif len(conn.reader.ahead) > HEAD_LIMIT:
            conn.reader.too_long = conn.last = True
            self.hand_over(conn, len(conn.reader.ahead))
        else:
            conn.timeout = time.monotonic() + (settings.REQUEST_READ_TIMEOUT or float("inf"))
            self.gathering.append(conn)
            self.poller.register(conn.sock, EVENT_READ, partial(self._more_arrived, conn))

    def _more_arrived(self, conn: Connection, client: Any) -> None:
        is_there = self._receive(conn)
        if is_there and not head_size(conn) and len(conn.reader.ahead) <= HEAD_LIMIT:
            return
        self.gathering.remove(conn)
        self.poller.unregister(client)
        if is_there:
            self._look(conn)
        else:
            self.close(conn)

    def _begin(self, conn: Connection, size: int) -> None:
        """A head of `size` bytes is complete."""
        head = bytes(conn.reader.ahead[:size])
        conn.sock.continued = False
        if MORE.search(head):
            self._begin_body(conn, head)
        # One that was read ahead goes to a thread: a thousand probes in one packet aren't answered in one go.
        elif is_probe(head) and not conn.in_a_row and len(conn.reader.ahead) == size:
            conn.reader.give(size)
            conn.init()
            done: Future[object] = Future()
            done.set_result(self.handle(conn))
            self.finish_request(conn, done)
        else:
            self.hand_over(conn, size)

    def _begin_body(self, conn: Connection, head: bytes) -> None:
        ahead = conn.reader.ahead
        found = bodies.announced(self.cfg, head, conn.client, conn.parser.req_count + 1 if conn.parser else 1)
        if found is None or is_probe(head):
            # Refused by gunicorn; or a probe, which waits for nobody: what has come has to do.
            conn.last = True
            self.hand_over(conn, len(ahead))
            return
        conn.path = found.path
        if found.length is None:  # chunked: Django reads no such body, and nobody knows when it ends
            self.refuse(conn, 411, "length_required", "The body came without Content-Length.")
        elif found.length > found.limit:
            self.refuse(conn, 413, "too_large", f"The body may have {found.limit} bytes at most.")
        elif len(head) + found.length <= len(ahead):
            self.hand_over(conn, len(head) + found.length)
        elif found.is_large:
            asked = self.tpool.submit(bodies.refusal_of, found, conn.client)
            asked.add_done_callback(lambda answer: self.method_queue.defer(self._take_body, conn, head, found, answer))
        else:
            self.bodies.gather(conn, len(head), found.length, expects=found.expects)

    def _take_body(self, conn: Connection, head: bytes, found: Any, asked: "Future[Any]") -> None:
        """A large body may come, unless it is known by now that its sender only claims to be somebody."""
        refused = None if asked.cancelled() or asked.exception() else asked.result()
        if refused:
            self.refuse(conn, *refused)
        else:
            self.bodies.gather(conn, len(head), found.length, expects=found.expects)

    def hand_over(self, conn: Connection, size: int = 0) -> None:
        """To a thread, with the first `size` bytes of what came; 0: it was given already."""
        if size:
            conn.reader.give(size)
        conn.init()
        super().enqueue_req(conn)

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Say that the connection ends, when it does."""
        if isinstance(conn, Connection) and conn.last:
            req.force_close()
        return bool(super().handle_request(req, conn))

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """What the application left of a body is here: gunicorn would read it from the client."""
        if not isinstance(conn, Connection):
            return bool(super()._keepalive_after(conn, keepalive))
        if not keepalive or conn.last or conn.parser.mesg.body.failed:
            return False
        conn.parser.mesg = None
        conn.reader.clear()
        return True

    # --- a request is done ----------------------------------------------------------------------------------------
    def finish_request(self, conn: Any, fs: "Future[object]") -> None:
        """Deliver the rest of the answer; then keep the connection, or end it."""
        if not isinstance(conn, Connection):
            super().finish_request(conn, fs)
            return
        conn.kept = not fs.cancelled() and fs.exception() is None and bool(fs.result())
        if conn.sock.pending:
            self.answers.begin(conn)
            self.keep_within_limits()
        else:
            self.answered(conn)

    def answered(self, conn: Connection) -> None:
        """The client has taken the answer: go on to its next request, wait for one, or end."""
        if not conn.kept:
            self.linger(conn)
        elif conn.reader.ahead:
            conn.in_a_row += 1
            conn.last = conn.in_a_row >= PIPELINED
            self._look(conn)
        else:
            conn.in_a_row = 0
            conn.set_timeout()
            if not self.alive:
                conn.timeout = min(conn.timeout, time.monotonic() + gthread.STOP_KEEPALIVE_LINGER)
            self.keepalived_conns.append(conn)
            self.poller.register(conn.sock, EVENT_READ, partial(self.on_client_socket_readable, conn))

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGQUIT. gunicorn's gthread closes its threads in this handler, which needs the lock that the main loop holds
        when it has been interrupted in handing over a request: the worker would hang until it is killed, without its
        cleanup. The process ends with its threads (hooks.worker_exit)."""
        super(gthread.ThreadWorker, self).handle_quit(sig, frame)

    # --- time passes ----------------------------------------------------------------------------------------------
    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Until the next connection's time is over, `timeout` seconds at most."""
        queues = (self.gathering, self.lingering, self.refused)
        times = [conns[0].timeout - time.monotonic() for conns in queues if conns]
        registered = self.poller.get_map()
        for key, _ in self.poller.select(max(0.0, min([timeout, *times]))):
            if registered.get(key.fd) is key:  # else an event before it has ended this connection
                key.data(key.fileobj)

    def murder_pending(self) -> None:
        """Cut off whoever has taken too long; called after each round of the main loop, also by a worker that ends."""
        super().murder_pending()
        now = time.monotonic()
        if not self.alive:
            for conn in self.gathering:
                conn.timeout = min(conn.timeout, now + gthread.STOP_KEEPALIVE_LINGER)
        while self.gathering and self.gathering[0].timeout <= now:
            conn = self.gathering.popleft()
            if conn.reader.ahead:
                self.log.info("a client stalled in the middle of a request: connection closed")
            self.drop(conn)
        for queue in (self.lingering, self.refused):
            while queue and queue[0].timeout <= now:
                self.drop(queue.popleft())
        if now >= self._looked + 1:
            self._looked = now
            self.bodies.end_slow()
            self.answers.end_slow()


def head_size(conn: Connection) -> int:
    """Bytes of the head that has arrived; 0 while it isn't complete."""
    end = conn.reader.ahead.find(END, conn.searched)
    conn.searched = max(0, len(conn.reader.ahead) - len(END) + 1) if end < 0 else 0
    return end + len(END) if end >= 0 else 0


def is_probe(head: bytes) -> bool:
    """Whether the head, behind which nothing comes, is a probe's."""
    return PROBE.match(head) is not None
