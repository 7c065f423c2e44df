"""Limits for slow clients: how many connections there may be, which one gives way, and when one has taken too long.

It must not know about requests. Nothing here waits for a client.

Reason: gunicorn has no time limit for a head, a body or an answer, no limit per client address, and no minimum rate. A
worker that has run out of connections or descriptors accepts nobody until a client goes.
Upstream: https://github.com/benoitc/gunicorn/issues/2222 (slow HTTP attacks: the advice is a buffering proxy) and
https://github.com/benoitc/gunicorn/pull/344 (a time limit for client sockets, closed).
Remove when gunicorn itself has these limits, or when PacSync is only ever served behind a proxy that has them.
"""

import errno
import socket
import time
from collections import Counter
from typing import Any

from django.conf import settings
from gunicorn.workers import gthread

from apps.lifecycle.gunicorn.worker import spool
from apps.lifecycle.gunicorn.worker.client_addresses import ClientAddresses
from apps.lifecycle.gunicorn.worker.connection import Connection
from apps.lifecycle.gunicorn.worker.connections import Connections
from apps.lifecycle.gunicorn.worker.transfers import AnswerTransfers, BodyTransfers, Transfers

SEND_BUFFER = 128 * 1024  # bytes of an answer that the kernel takes: with more we wouldn't see that nobody reads it
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
AT_ONCE = 1024  # connections; they take a tenth of a second
PAUSE = 0.05  # seconds without accepting, when descriptors or memory have run out
TRANSFER_CHECK = 1.0  # seconds between two searches for transfers that are too slow


class SlowClientLimits(Connections):
    """`bodies` and `answers` are the transfers under way; `addresses` counts connections per client."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bodies, self.answers = BodyTransfers(self), AnswerTransfers(self)
        self.addresses = ClientAddresses(settings.WEB_SOURCE_CONNECTIONS, self.cfg)
        self._transfers_checked = 0.0

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if enabled:
            for listener in self.sockets:  # connections inherit it
                listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def accept(self, listener: Any) -> bool:
        """Accept connections. False if descriptors or memory have run out.

        One at a time, so that all workers get some. A worker whose places are taken accepts many at once, since a probe
        may be behind those that it can only have wait. If there are too many connections, end the oldest one that
        hasn't asked anything yet, else the one that has been idle longest, else the slowest.
        """
        try:
            for _ in range(AT_ONCE if self.places.are_taken else 1):
                if not self._accept_one(listener):
                    break
                if self.nr_conns >= self.worker_connections:
                    self.make_room()
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            self.log.warning("no connection can be accepted: %s", error)
            if not self.make_room():
                time.sleep(PAUSE)
            return False
        return True

    def _accept_one(self, listener: Any) -> bool:
        """Accept a connection, and look for its request. Refuse it if its address has too many. False if none waits."""
        try:
            client, address = listener.accept()
        except BlockingIOError:
            return False
        except ConnectionAbortedError:
            return True
        self.nr_conns += 1
        conn = Connection(self.cfg, client, address, listener.getsockname())
        if self.addresses.add(conn) or self.make_room(address=conn.counted_address):
            self.enqueue_req(conn)
        else:
            self.refuse(conn, 429, "too_many_connections", "This address has too many connections open.")
        return True

    def make_room(self, address: str | None = None) -> bool:
        """End a connection (of `address`) that does nothing; without an address even one that does little."""
        for conns in (self.gathering, self.keepalived_conns, self.lingering, self.refused):
            found = next((conn for conn in conns if address is None or conn.counted_address == address), None)
            if found is not None:
                conns.remove(found)
                self.drop(found)
                return True
        if address is not None or not self._end_slowest():
            return False
        if self.refused:  # it has its answer; there is no room to wait until the client has read it
            self.drop(self.refused.popleft())
        return True

    def _end_slowest(self) -> bool:
        """End the slowest transfer of the address for which most bytes are kept. False if there is no transfer."""
        found: dict[Connection, Transfers] = {conn: many for many in (self.bodies, self.answers) for conn in many.conns}
        if not found:
            return False
        held: Counter[str] = Counter()
        for conn in found:
            held[conn.address] += conn.held
        most = held.most_common(1)[0][0]
        slowest = min((conn for conn in found if conn.address == most), key=lambda conn: conn.pace.rank())
        found[slowest].give_up(slowest, slow=False)
        return True

    def keep_within_limits(self) -> None:
        """End the slowest transfer if too many bytes are waiting."""
        if spool.total() > settings.WEB_SPOOL_LIMIT:
            self._end_slowest()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for events until the next connection's time is up, at most `timeout` seconds."""
        queues = (self.gathering, self.lingering, self.refused)
        times = [conns[0].timeout - time.monotonic() for conns in queues if conns]
        times.append(0.0 if self.arrived else self.places.seconds_left())
        registered = self.poller.get_map()
        for key, _ in self.poller.select(max(0.0, min([timeout, *times]))):
            if registered.get(key.fd) is key:  # otherwise an earlier event of this round has ended the connection
                key.data(key.fileobj)
        self.begin_arrived()

    def murder_pending(self) -> None:
        """Cut off whoever has taken too long. gunicorn calls it after each round, even in a worker that ends."""
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
        if now >= self._transfers_checked + TRANSFER_CHECK:
            self._transfers_checked = now
            self.bodies.end_slow()
            self.answers.end_slow()
