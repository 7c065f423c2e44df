"""A connection whose thread never waits for the client: it reads what has arrived, and keeps what isn't taken.

gunicorn's parser reads from a `RequestReader`, gunicorn's response writes into an `AnswerWriter`; only the worker's
main loop reads the socket itself. It must not know when anything is read, written or cut off (whole_heads.py,
transfers.py, slow_clients.py).

Reason: gunicorn's own connection sets its socket to blocking before a thread parses the request and answers.
Remove with whole_heads.py and whole_requests.py, whose upstream issues are the same.
"""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

from django.conf import settings
from gunicorn import http
from gunicorn.http.unreader import Unreader
from gunicorn.workers import gthread

from apps.lifecycle.gunicorn.worker import spool
from apps.lifecycle.gunicorn.worker.pace import Pace
from apps.lifecycle.gunicorn.worker.spool import Spool
from apps.lifecycle.wsgi.admission import Admission

PIECE = 64 * 1024
LARGEST_READ = 1024 * 1024
MAPPED = "::ffff:"  # how the kernel writes an IPv4 address on an IPv6 socket: ::ffff:127.0.0.1
AT_ONCE = 4 * PIECE  # bytes that are written for one client before the next one's turn


class RequestReader(Unreader):  # type: ignore[misc]  # gunicorn has no types
    """What the parser may read: the one request that was given. `ahead` is what has arrived but isn't given yet."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = bytearray()
        self.body = Spool()
        self._given = b""

    def give(self, size: int) -> None:
        """The first `size` bytes of `ahead`, and then `body`, are the request."""
        self._given = bytes(self.ahead[:size])
        del self.ahead[:size]

    def clear(self) -> None:
        """Forget what the application left unread."""
        self.take_buffered()
        self._given = b""
        self.body.close()

    def chunk(self, size_hint: int | None = None) -> bytes:
        """The next bytes of the request; b"" at its end."""
        if self._given:
            given, self._given = self._given, b""
            return given
        return self.body.read(min(max(size_hint or 0, PIECE), LARGEST_READ))


class AnswerWriter:
    """The socket as gunicorn's response sees it. Nothing here waits: what the client doesn't take is in `pending`."""

    def __init__(self, real: socket.socket) -> None:
        self.real = real
        self.pending = Spool()
        self.continued = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def fileno(self) -> int:
        return self.real.fileno()

    def setblocking(self, blocking: bool) -> None:
        """It never blocks, whatever gunicorn asks for."""

    settimeout = setblocking

    def gettimeout(self) -> float:
        return 0.0

    def shutdown(self, how: int) -> None:
        """Do nothing: the main loop ends the connection when the whole answer has been sent."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        return b""

    def send(self, data: bytes) -> int:
        """Send gunicorn's `100 Continue`, unless the main loop has already sent it."""
        if not self.continued:
            self.sendall(data)
        return len(data)

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view and not self.pending:
            try:
                view = view[self.real.send(view) :]
            except BlockingIOError:
                break
        if view:
            self._keep(view)

    def _keep(self, data: bytes | memoryview) -> None:
        # Above the limit the main loop ends the slowest transfer; far above it, nothing more is kept.
        if spool.total() > 2 * settings.WEB_SPOOL_LIMIT:
            raise BrokenPipeError(errno.EPIPE, "too many bytes wait for slow clients")
        try:
            self.pending.append(data)
        except OSError as error:
            raise BrokenPipeError(errno.EPIPE, f"an answer can't be kept for a slow client: {error}") from error

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send `count` bytes of the file from `offset`, or all the rest; returns how many were sent or kept."""
        left = os.fstat(file.fileno()).st_size - offset if count is None else count
        sent = 0
        while sent < left and not self.pending:
            try:
                now = os.sendfile(self.real.fileno(), file.fileno(), offset + sent, left - sent)
            except BlockingIOError:
                break
            if not now:
                return sent
            sent += now
        while sent < left and (data := os.pread(file.fileno(), min(PIECE, left - sent), offset + sent)):
            self._keep(data)
            sent += len(data)
        return sent

    def flush(self) -> int:
        """Write what the client takes now, and return how many bytes. Raises OSError if the client is gone."""
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < AT_ONCE and (data := self.pending.peek(PIECE)):
                now = self.real.send(data)
                self.pending.skip(now)
                sent += now
        return sent

    def close(self) -> None:
        self.pending.close()
        self.real.close()


def plain_peer(peer: Any) -> Any:
    """The peer's address as `accept()` returns it; an IPv4 peer of a socket for both families as a plain IPv4 one.

    Otherwise its address would not be the one that FORWARDED_ALLOW_IPS and HEALTH_DETAIL_NETWORKS name.
    """
    if isinstance(peer, tuple) and peer[0].startswith(MAPPED):
        return (peer[0].removeprefix(MAPPED), peer[1])
    return peer


class Connection(gthread.TConn):  # type: ignore[misc]
    """What the main loop knows about one connection.

    `searched`: bytes of `ahead` that don't contain the head's end; `missing`: bytes of the body that haven't arrived;
    `pace`: of the body or answer under way; `kept`: whether it stays open after the answer; `last`: whether it ends
    with this request; `in_a_row`: requests that had already arrived when the one before was answered;
    `admission`: of the request under way (places.py); `counted_address`: the address that it counts for
    (client_addresses.py), None if it isn't counted.
    """

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, plain_peer(client), server)
        self.initialized = False
        self.sock = AnswerWriter(sock)
        self.reader = RequestReader()
        self.on_close: Callable[[], None] = _nothing
        self.searched = self.missing = self.in_a_row = 0
        self.pace = Pace(0)
        self.kept = self.last = False
        self.path = ""
        self.admission = Admission.UNDECIDED
        self.counted_address: str | None = None
        self.data_ready = True

    def init(self) -> None:
        """Make gunicorn's parser, which reads what was gathered."""
        if not self.initialized:
            self.initialized = True
            self.parser = http.get_parser(self.cfg, iter(()), self.client)
            self.parser.unreader = self.reader

    @property
    def address(self) -> str:
        """The peer's IP address; "" on a Unix socket."""
        return str(self.client[0]) if isinstance(self.client, tuple) else ""

    @property
    def held(self) -> int:
        """Bytes that are kept for it."""
        return len(self.reader.body) + len(self.sock.pending)

    def close(self, graceful: bool = False) -> None:
        """Close it at once. `graceful` is gunicorn's; here the main loop has already lingered (connections.py)."""
        self.on_close()
        self.on_close = _nothing
        self.reader.clear()
        self.reader.ahead.clear()
        super().close()

    def reset(self) -> None:
        """Close it with a reset: the kernel drops what is unsent, and the client sees that the answer is incomplete."""
        with contextlib.suppress(OSError):
            self.sock.real.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


def _nothing() -> None:
    pass
