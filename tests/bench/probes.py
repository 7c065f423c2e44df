"""Probes as a kubelet sends them: at a steady rate, each on a connection of its own, given up after a second."""

import http.client
import threading
import time
from types import TracebackType

LIMIT = 1.0  # seconds until a probe is given up, as Kubernetes does by default


def probe(port: int, path: str, *, timeout: float = LIMIT) -> int:
    """The status, or 0 when no answer came in time."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


class Probes(threading.Thread):
    """Asks `path` every tenth of a second between enter and exit; `seen` is (when, seconds, status or 0)."""

    def __init__(self, port: int, path: str) -> None:
        super().__init__(daemon=True)
        self.port, self.path = port, path
        self.seen: list[tuple[float, float, int]] = []
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            began = time.monotonic()
            status = probe(self.port, self.path)
            self.seen.append((began, time.monotonic() - began, status))

    def __enter__(self) -> "Probes":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self.join(2 * LIMIT)

    @property
    def slowest(self) -> float:
        return max(seconds for _, seconds, _ in self.seen)

    @property
    def unanswered(self) -> int:
        return sum(status == 0 for *_, status in self.seen)

    def first(self, status: int, after: float) -> float | str:
        """Seconds from `after` until a probe sent later got this status; "never" when none did."""
        found = [began + took - after for began, took, seen in self.seen if began > after and seen == status]
        return round(found[0], 2) if found else "never"
