"""A real HTTP server on this machine that answers as a tracker might, well or badly."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
    """`respond` answers each request; `asked` has the path and headers of each."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.over = threading.Event()
        self.respond: Respond = lambda handler: handler.answer(404)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/all.json"

    def serves(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.respond = lambda handler: handler.answer(status, body, **headers)


@contextmanager
def running_tracker() -> Iterator[Tracker]:
    server = Tracker()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join(20)
        server.server_close()
