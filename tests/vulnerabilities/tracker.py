"""A real HTTP or HTTPS server on this machine that answers as a tracker might, well or badly."""

import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Respond = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Remembers what was asked, and lets the test answer."""

    server: "Tracker"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        try:
            self.server.respond(self)
        except OSError:  # the client has gone
            self.close_connection = True

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class Tracker(ThreadingHTTPServer):
    """`respond` answers each request; `asked` has the path and headers of each. With `tls` it speaks HTTPS alone."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.scheme = "http" if tls is None else "https"
        if tls is not None:  # the handshake is the handler's: a client may never end it
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.over = threading.Event()
        self.respond: Respond = lambda handler: handler.answer(404)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}/all.json"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has gone, say, because it doesn't trust the certificate."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def serves(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.respond = lambda handler: handler.answer(status, body, **headers)


@contextmanager
def running_tracker(tls: ssl.SSLContext | None = None) -> Iterator[Tracker]:
    server = Tracker(tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join(20)
        server.server_close()
