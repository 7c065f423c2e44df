"""Whole heads: the main loop reads a request's head, and starts the request when the whole head has arrived.

It must not know what a head says or what becomes of the request.

Reason: gthread gives a new connection to a thread at once, which then reads as slowly as the client sends. With as many
slow clients as threads, nobody else is served.
Upstream: https://github.com/benoitc/gunicorn/issues/3518 and https://github.com/benoitc/gunicorn/pull/3519.
Since then a thread gives a silent connection back after 5 seconds; a client that drips its head still keeps the thread.
Remove when gunicorn's gthread hands over only complete heads.
"""

import time
from functools import partial
from selectors import EVENT_READ
from typing import Any

from django.conf import settings

from apps.lifecycle.gunicorn.worker.connection import Connection
from apps.lifecycle.gunicorn.worker.connections import Connections
from apps.lifecycle.gunicorn.worker.head_errors import FIELDS_TOO_LARGE, LINE_TOO_LONG

TLS_HELLO = b"\x16\x03"  # a handshake record of any version of TLS
END = b"\r\n\r\n"
HEAD_PIECE = 16 * 1024  # bytes of a head that are read at once
HEAD_LIMIT = 64 * 1024  # bytes of a head; gunicorn's own limits for its lines are lower


class WholeHeads(Connections):
    """Calls `begin_request` with each complete head."""

    def enqueue_req(self, conn: Any) -> None:
        """gunicorn calls it when a connection is new or has become readable: look for a head in what has arrived."""
        if not isinstance(conn, Connection):
            super().enqueue_req(conn)
        elif self._receive(conn):
            self.find_head(conn)
        else:
            self.close(conn)

    def find_head(self, conn: Connection) -> None:
        """Begin the request if its head is complete, else have the poller wait for the rest. It isn't registered."""
        size = head_size(conn)
        if is_tls(conn):
            self.refuse(conn, 400, "tls_on_http_port", "This port speaks HTTP without TLS.")
        elif size:
            self.begin_request(conn, bytes(conn.reader.ahead[:size]))
        elif len(conn.reader.ahead) > HEAD_LIMIT:
            self.refuse(conn, *(FIELDS_TOO_LARGE if b"\r\n" in conn.reader.ahead else LINE_TOO_LONG))
        else:
            conn.timeout = time.monotonic() + (settings.REQUEST_READ_TIMEOUT or float("inf"))
            self.gathering.append(conn)
            self.poller.register(conn.sock, EVENT_READ, partial(self._more_arrived, conn))

    def _receive(self, conn: Connection) -> bool:
        """Take what has arrived. False if the client has closed its side."""
        try:
            data = conn.sock.real.recv(HEAD_PIECE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        conn.reader.ahead += data
        return bool(data)

    def _more_arrived(self, conn: Connection, client: Any) -> None:
        is_there = self._receive(conn)
        if is_there and not head_size(conn) and len(conn.reader.ahead) <= HEAD_LIMIT and not is_tls(conn):
            return
        self.gathering.remove(conn)
        self.poller.unregister(client)
        if is_there:
            self.find_head(conn)
        else:
            self.close(conn)


def is_tls(conn: Connection) -> bool:
    """Whether the client speaks TLS: its hello has no end that a head has, and nothing would ever answer it."""
    return conn.reader.ahead.startswith(TLS_HELLO)


def head_size(conn: Connection) -> int:
    """Bytes of the head that has arrived; 0 while it isn't complete."""
    end = conn.reader.ahead.find(END, conn.searched)
    conn.searched = max(0, len(conn.reader.ahead) - len(END) + 1) if end < 0 else 0
    return end + len(END) if end >= 0 else 0
