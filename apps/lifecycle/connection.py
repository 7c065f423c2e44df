"""A connection whose thread never waits for the client: it reads what is here already, and leaves what isn't taken.

gunicorn's parser reads from a `RequestReader`, gunicorn's response writes into an `AnswerWriter`; the socket itself is
read by the worker's main loop only. It must not know when anything is read, written or cut off (worker.py does).
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
from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.http.unreader import Unreader
from gunicorn.workers import gthread

from apps.lifecycle import spool
from apps.lifecycle.pace import Pace
from apps.lifecycle.spool import Spool

PIECE = 64 * 1024
LARGEST_READ = 1024 * 1024
AT_ONCE = 4 * PIECE  # bytes that are written for one client before the next one's turn


class RequestReader(Unreader):  # type: ignore[misc]  # gunicorn has no types
    """What the parser may read: the one request that was given. `ahead` is what came behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = bytearray()
        self.body = Spool()
        self.too_long = False
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
        """The next bytes of the request; b"" at its end. Raises LimitRequestHeaders when its head was cut short."""
        if self._given:
            given, self._given = self._given, b""
            return given
        data = self.body.read(min(max(size_hint or 0, PIECE), LARGEST_READ))
        if not data and self.too_long:
            raise LimitRequestHeaders("max buffer headers")
        return data


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
        """It never blocks, whoever says so."""

    settimeout = setblocking

    def gettimeout(self) -> float:
        return 0.0

    def shutdown(self, how: int) -> None:
        """The main loop ends the connection, when all of the answer is gone."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        return b""

    def send(self, data: bytes) -> int:
        """gunicorn's `100 Continue`, unless the main loop has sent it."""
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
        # The main loop ends the slowest above the limit; far above it nothing more is taken.
        if spool.total() > 2 * settings.WEB_SPOOL_LIMIT:
            raise BrokenPipeError(errno.EPIPE, "too many bytes wait for slow clients")
        try:
            self.pending.append(data)
        except OSError as error:
            raise BrokenPipeError(errno.EPIPE, f"an answer can't be kept for a slow client: {error}") from error

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send `count` bytes of the file from `offset`, or all the rest; how many that is."""
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
        """Write what the client takes now; how many bytes that is. Raises OSError when it is gone."""
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


class Connection(gthread.TConn):  # type: ignore[misc]
    """`searched`: how far the head's end was looked for; `missing`: bytes of the body that haven't come; `pace`: that
    of the body or the answer on its way; `kept`: whether it stays open after the answer; `in_a_row`: requests that were
    there already when the one before was answered; `last`: whether it ends with this request."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.initialized = False
        self.sock = AnswerWriter(sock)
        self.reader = RequestReader()
        self.on_close: Callable[[], None] = _nothing
        self.searched = self.missing = self.in_a_row = 0
        self.pace = Pace(0)
        self.kept = self.last = False
        self.path = ""
        self.source: str | None = None
        self.data_ready = True

    def init(self) -> None:
        """gunicorn's parser, reading what was gathered."""
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
        """Close it at once; `graceful` is what the main loop does before (Worker.end)."""
        self.on_close()
        self.on_close = _nothing
        self.reader.clear()
        self.reader.ahead.clear()
        super().close()

    def reset(self) -> None:
        """Close it so that the kernel forgets what the client hasn't taken, and the client sees that it isn't all."""
        with contextlib.suppress(OSError):
            self.sock.real.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


def _nothing() -> None:
    pass
