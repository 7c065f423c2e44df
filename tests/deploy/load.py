"""A load at a steady rate, counted at the client: what a load balancer loses leaves no line in its log.

It must not know what answers. Bounded in time and rate; every worker thread keeps one connection alive.
"""

import http.client
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

# Codes of a problem by which an instance refuses what it can't do now; `shutting_down` is none of them.
FULL = (b'"busy"', b'"database_unavailable"')

Request = tuple[str, str, bytes | None, dict[str, str]]  # method, path, body, headers


@dataclass
class Result:
    """What came back: how often each status (0: no answer), what a client would call lost, with its time in seconds
    from the start, and the slowest answer.

    `postponed` were refused in good order by an instance that is full (503 with Retry-After): that tells of a machine
    that is too small for the rate at that moment, not of an instance that came or went.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    lost: list[tuple[float, str]] = field(default_factory=list)
    postponed: int = 0
    slowest: float = 0.0

    @property
    def sent(self) -> int:
        return self.statuses.total()

    def __str__(self) -> str:
        answers = f"{self.sent} sent, {dict(self.statuses)}, slowest {self.slowest:.2f} s"
        return f"{answers}, {self.postponed} postponed, {len(self.lost)} lost {self.lost[:8]}"


class Load:
    """`rate` requests a second to 127.0.0.1:`port`, made by `request(number)`, until `stop()` or `limit` seconds."""

    def __init__(
        self, port: int, request: Callable[[int], Request], *, rate: float = 200, threads: int = 24, limit: float = 180
    ) -> None:
        self.port, self.request, self.rate = port, request, rate
        self.result = Result()
        self._numbers, self._lock = itertools.count(), threading.Lock()
        self._stop = threading.Event()
        self.started = time.monotonic()
        self._end = self.started + limit
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def stop(self) -> Result:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=70)
        return self.result

    def _work(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while not self._stop.is_set() and time.monotonic() < self._end:
            with self._lock:
                number = next(self._numbers)
            # Each request has its moment: a slow answer delays its thread, not the rate of the others.
            if self._stop.wait(max(0.0, self.started + number / self.rate - time.monotonic())):
                break
            self._once(connection, number)
        connection.close()

    def _once(self, connection: http.client.HTTPConnection, number: int) -> None:
        method, path, body, headers = self.request(number)
        began = time.monotonic()
        full = False
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
            status = response.status
            text = f"{method} {path}: {status} of {response.getheader('X-Served-By')}: {answer[:200]!r}"
            full = status == 503 and any(code in answer for code in FULL)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            status, text = 0, f"{method} {path}: {error!r}"
        ended = time.monotonic()
        with self._lock:
            self.result.statuses[status] += 1
            self.result.slowest = max(self.result.slowest, ended - began)
            self.result.postponed += full
            if not full and (status == 0 or status >= 500):
                self.result.lost.append((round(ended - self.started, 2), text))
