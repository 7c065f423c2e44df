"""The connections of a worker, and how one ends.

It must not know about requests or which connection gives way to another. Nothing here waits for a client.

Reason: the parts of the worker share these queues, and gunicorn has none for an incomplete head or for a connection
that has ended. When it ends one, its main loop waits up to 2 s for that client (`gunicorn.util.close_graceful`).
Remove with the last part that derives from it.
"""

import contextlib
import socket
import time
from collections import deque
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers import gthread

from apps.lifecycle.gunicorn.worker.connection import PIECE, Connection
from apps.lifecycle.gunicorn.worker.refusals import refusal

LINGER = 2.0  # seconds for which we read a connection after ending it, so that the client gets our answer; RFC 9112
REFUSED_LINGER = 10.0  # the same, if the client may be sending a body that we don't take


class Connections(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """The base of all parts of the worker. In each queue the oldest connection comes first.

    `gathering`: the head isn't complete; `lingering`: we have ended it; `refused`: we have ended it, and the client may
    still be sending.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gathering: deque[Any] = deque()
        self.lingering: deque[Any] = deque()
        self.refused: deque[Any] = deque()

    def close(self, conn: Any) -> None:
        """Close it at once. It isn't registered with the poller."""
        self.nr_conns -= 1
        conn.close()

    def drop(self, conn: Any) -> None:
        """Close it at once. It is registered with the poller."""
        self.poller.unregister(conn.sock)
        self.close(conn)

    def refuse(self, conn: Connection, status: int, code: str, detail: str) -> None:
        """Answer without a thread, and end the connection. It isn't registered with the poller."""
        extra = {"code": code, "status": status, "remote": conn.address}
        self.log.info("request refused: %s", f"{code} {conn.path}".rstrip(), extra=extra)
        with contextlib.suppress(OSError):
            conn.sock.sendall(refusal(status, code, detail))
        self.linger(conn, refused=True)

    def linger(self, conn: Connection, *, refused: bool = False) -> None:
        """Send the end, then read for a while. Otherwise a client that still sends gets a reset before our answer."""
        queue, seconds = (self.refused, REFUSED_LINGER) if refused else (self.lingering, LINGER)
        conn.reader.clear()
        try:
            conn.sock.real.shutdown(socket.SHUT_WR)
        except OSError:
            self.close(conn)
            return
        conn.timeout = time.monotonic() + (seconds if self.alive else LINGER / 4)
        queue.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self._discard, conn, queue))

    def _discard(self, conn: Connection, queue: "deque[Any]", client: Any) -> None:
        try:
            ended = not conn.sock.real.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            queue.remove(conn)
            self.drop(conn)
