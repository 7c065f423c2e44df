"""Clients that send or read as slowly as they can, all in one thread, until they are stopped. Bounded in time.

It must not know what the server should do about them; `refused` and `opened` are only counted.
"""

import contextlib
import hashlib
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Send = Callable[[socket.socket, int], bytes | None]
TEXT = "pst_" + "0" * 40
BEARER = {"Authorization": f"Bearer {TEXT}"}
TOKEN = f"Authorization: Bearer {TEXT}\r\n".encode()


def make_valid(url: str) -> str:
    """Have TEXT be an API token of the server with this SQLite database; the URL again."""
    values = ("slow", hashlib.sha256(TEXT.encode()).hexdigest(), "operator")
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database, database:
        database.execute("INSERT INTO fleet_apitoken (name, token_hash, role) VALUES (?, ?, ?)", values)
    return url


@dataclass(frozen=True)
class Kind:
    """`first` is sent at once; then, each `pause` seconds, one byte of `drip` is sent, or `read` bytes are taken."""

    name: str
    first: bytes
    drip: bytes = b""
    read: int = 0
    pause: float = 1.0


def slow_head(*, token: bool = False) -> Kind:
    return Kind("head", b"GET /login HTTP/1.1\r\nHost: localhost\r\n" + (TOKEN if token else b"") + b"X: ", drip=b"x")


def slow_body(sent: int, *, token: bool = False, length: int = 900_000, path: str = "/api/v1/enroll") -> Kind:
    """A body of `length` bytes, of which `sent` come at once and the rest byte by byte."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    return Kind(
        f"body {sent} of {length}", head.encode() + (TOKEN if token else b"") + b"\r\n" + b" " * sent, drip=b" "
    )


def chunked_body(*, token: bool = False) -> Kind:
    head = b"POST /api/v1/enroll HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    return Kind("chunked body", head + (TOKEN if token else b"") + b"\r\nfffff\r\n", drip=b" ")


def slow_reader(path: str, *, read: int = 1, requests: int = 1, token: bool = False) -> Kind:
    """Asks `requests` times in one packet, and takes `read` bytes a second; 0: nothing."""
    one = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n".encode() + (TOKEN if token else b"") + b"\r\n"
    return Kind(f"reader {path} x{requests}", one * requests, read=read)


@dataclass
class SlowClients:
    """`number` connections of this kind from the address `source`; one that is ended is opened again."""

    port: int
    kind: Kind
    number: int
    source: str = "127.0.0.1"
    opened: int = 0
    answered: list[bytes] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "SlowClients":
        self._socks: list[socket.socket | None] = [None] * self.number
        self._step()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join(30)
        for one in self._socks:
            if one is not None:
                one.close()

    def _run(self) -> None:
        while not self._stop.wait(self.kind.pause):
            self._step()

    def _step(self) -> None:
        for number, one in enumerate(self._socks):
            if one is None or not self._go_on(one):
                if one is not None:
                    one.close()
                self._socks[number] = self._open()

    def _open(self) -> socket.socket | None:
        one = socket.socket()
        one.settimeout(0.2)
        try:
            if self.kind.read or not self.kind.drip:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            one.bind((self.source, 0))
            one.connect(("127.0.0.1", self.port))
            self.opened += 1
            with contextlib.suppress(TimeoutError):
                one.sendall(self.kind.first)
        except OSError:
            one.close()
            return None
        one.setblocking(False)
        return one

    def _go_on(self, one: socket.socket) -> bool:
        """Drip or read; False when the server has ended it."""
        try:
            if self.kind.drip:
                one.send(self.kind.drip)
                answer = one.recv(4096)
                self.answered.append(answer[:15])
                return False
            if self.kind.read:
                return bool(one.recv(self.kind.read))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


@dataclass
class Others:
    """Everybody else: one thread for each of `asked` (method, path, headers, body), with a connection for each request.

    `slowest` is in seconds; `refused` are the answers above 399 other than `expected`, and what got no answer.
    """

    port: int
    asked: dict[str, dict[str, str]]
    source: str = "127.0.0.1"
    pause: float = 0.1
    slowest: dict[str, float] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Others":
        self._threads = [threading.Thread(target=self._run, args=(path,), daemon=True) for path in self.asked]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, path: str) -> None:
        while not self._stop.wait(self.pause):
            began = time.monotonic()
            try:
                status = self._ask(path)
            except OSError as error:
                status = type(error).__name__
            took = time.monotonic() - began
            self.times.append(took)
            self.slowest[path] = max(self.slowest.get(path, 0), took)
            if status not in ("200", "302", "401"):
                self.refused.append(f"{path}: {status} after {took:.1f} s")

    def _ask(self, path: str) -> str:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10, source_address=(self.source, 0)) as one:
            fields = "".join(f"{name}: {value}\r\n" for name, value in self.asked[path].items())
            one.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n".encode())
            answer = b""
            while piece := one.recv(65536):
                answer += piece
        return answer[9:12].decode() or "nothing"


@dataclass
class Upload(threading.Thread):
    """A PUT or POST of `body` at `rate` bytes a second, on a slow but honest line; `status` when it is answered."""

    port: int
    path: str
    body: bytes
    rate: int
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    source: str = "127.0.0.1"
    status: str = "none"

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        fields = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        head = (
            f"{self.method} {self.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(self.body)}\r\n{fields}\r\n"
        )
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=60, source_address=(self.source, 0)) as one:
                one.sendall(head.encode())
                step = max(1, self.rate // 5)
                for start in range(0, len(self.body), step):
                    one.sendall(self.body[start : start + step])
                    time.sleep(step / self.rate)
                answer = one.recv(65536)
                self.status = answer[9:12].decode() or "nothing"
        except OSError as error:
            self.status = type(error).__name__
