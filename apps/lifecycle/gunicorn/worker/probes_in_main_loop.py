"""Probes in the main loop: a probe is answered at once, whatever the threads do.

It must not know what a probe says: a probe goes through the application like any other request.

Reason: a probe that needs a thread waits for a free one, and half of its cost is the way there and back.
Upstream: https://github.com/benoitc/gunicorn/issues/1417 and https://github.com/benoitc/gunicorn/issues/2467, both
closed: gunicorn treats a health check like any other request.
Remove when `make bench ONLY=throughput` shows that a thread answers probes at 0.9 of a bare WSGI function or better,
and the tests of saturated instances pass without it (docs/adr/0011-probes-in-the-main-loop.md).
"""

from apps.lifecycle.gunicorn import probe_paths
from apps.lifecycle.gunicorn.worker.connection import Connection
from apps.lifecycle.gunicorn.worker.connections import Connections


class ProbesInMainLoop(Connections):
    """Comes before WholeRequests, and takes the probes among its requests."""

    def begin_without_body(self, conn: Connection, head: bytes) -> None:
        # A probe that arrives together with others goes to a thread: a packet of a thousand isn't answered in one go.
        if not probe_paths.is_quick(head) or conn.in_a_row or len(conn.reader.ahead) > len(head):
            super().begin_without_body(conn, head)
            return
        conn.reader.give(len(head))
        conn.init()
        self.finished(conn, kept=bool(self.handle(conn)))

    def begin_with_body(self, conn: Connection, head: bytes) -> None:
        """A probe doesn't wait for its body: what has arrived must be enough."""
        if probe_paths.is_quick(head):
            self.hand_over_as_it_is(conn)
        else:
            super().begin_with_body(conn, head)
