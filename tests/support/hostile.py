"""A server that answers with the bytes that a test gives, at any pace: truncated, endless, dripping, not HTTP at all.

It must not know what the test expects of its client.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType

Behaviour = Callable[["Peer"], None]
DRIP = 0.1  # seconds between two pieces


class Gone(Exception):
    """The client has closed the connection, or the server is at its end."""


class Peer:
    """One connection: `path` and `headers` of the request that was read, and ways to answer it."""

    def __init__(self, connection: socket.socket, server: "Hostile") -> None:
        self.connection = connection
        self.server = server
        head = self._head()
        self.path = head.split(" ")[1] if head.count(" ") >= 2 else ""
        self.headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.splitlines()[1:])
        }

    def _head(self) -> str:
        head = b""
        while b"\r\n\r\n" not in head:
            received = self.connection.recv(65536)
            if not received:
                raise Gone
            head += received
        return head.decode("latin-1")

    def send(self, content: bytes) -> None:
        """Raises Gone, so that an endless answer ends with its client."""
        if self.server.ended.is_set():
            raise Gone
        try:
            self.connection.sendall(content)
            self.server.sent += len(content)
        except OSError:
            raise Gone from None

    def answer(self, body: bytes = b"", *, status: str = "200 OK", length: object = None, **headers: str) -> None:
        """A whole answer; `length` is what Content-Length says, the true one if None, no header if empty."""
        lines = [f"HTTP/1.1 {status}"]
        said = len(body) if length is None else length
        lines += [f"Content-Length: {said}"] if said != "" else []
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def endless(self, piece: bytes, *, pause: float = 0) -> None:
        """Send the piece again and again, until the client goes away."""
        while True:
            self.send(piece)
            if pause:
                time.sleep(pause)

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def silence(self) -> None:
        """Say nothing until the client goes away."""
        self.connection.settimeout(0.1)
        while not self.server.ended.is_set():
            with contextlib.suppress(TimeoutError):
                if not self.connection.recv(1):
                    return


class Hostile:
    """`with Hostile(behaviour) as server`: a thread for each connection. `paths` are what it was asked for."""

    def __init__(self, behaviour: Behaviour, address: str = "127.0.0.1") -> None:
        self.behaviour = behaviour
        self.paths: list[str] = []
        self.requests: list[dict[str, str]] = []
        self.sent = 0
        self.ended = threading.Event()
        self._listener = socket.create_server((address, 0), backlog=50)
        self.host = f"{address}:{self._listener.getsockname()[1]}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> "Hostile":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.ended.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(Gone, OSError):
            peer = Peer(connection, self)
            self.paths.append(peer.path)
            self.requests.append(peer.headers)
            self.behaviour(peer)


def endless(head: bytes, piece: bytes, pause: float = 0) -> Behaviour:
    """Says `head`, then `piece` again and again."""

    def answer(peer: Peer) -> None:
        peer.send(head)
        peer.endless(piece, pause=pause)

    return answer
