"""A bounded load: a few threads with kept-alive connections that count what they get. It must not know what for."""

import http.client
import threading
import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Load:
    """`clients` threads ask `path` every `pause` seconds between start() and stop(); `seen` counts statuses.

    A request without a complete answer counts as "lost"; `slowest` is in seconds. `refused` are the bodies of 5xx
    answers, ten at most.
    """

    port: int
    path: str
    clients: int = 4
    pause: float = 0.005
    keep_alive: bool = True
    seen: Counter[object] = field(default_factory=Counter)
    slowest: float = 0.0
    refused: list[bytes] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Load":
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self._stop.wait(self.pause):
            began = time.monotonic()
            result = self._ask(connection)
            with self._lock:
                self.seen[result] += 1
                self.slowest = max(self.slowest, time.monotonic() - began)
            if result == "lost" or not self.keep_alive:
                connection.close()  # the next request opens it again
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> object:
        try:
            connection.request("GET", self.path)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return "lost"
        if response.status >= 500 and len(self.refused) < 10:
            self.refused.append(body)
        return response.status


def get(
    port: int, path: str, *, timeout: float = 20, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own: (status, headers, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def in_background(port: int, path: str) -> "Pending":
    """Start one request in a thread."""
    pending = Pending(port, path)
    pending.start()
    return pending


class Pending(threading.Thread):
    """A request under way; `status` is None until it is answered, and "lost" when it never is."""

    def __init__(self, port: int, path: str) -> None:
        super().__init__(daemon=True)
        self.port, self.path = port, path
        self.status: object = None
        self.retry_after = ""

    def run(self) -> None:
        try:
            self.status, headers, _ = get(self.port, self.path, timeout=60)
            self.retry_after = headers.get("retry-after", "")
        except (OSError, http.client.HTTPException):
            self.status = "lost"
