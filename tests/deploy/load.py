"""A load at a steady rate, counted at the client: what a load balancer loses leaves no line in its log.

It must not know what answers. Bounded in time and rate; every worker thread keeps one connection alive. It uses only
the standard library: tests/cluster runs it in a pod.

What counts, here and wherever a number of lost requests is written:

- **answered**: any status below 400. The load only sends what the service has to accept.
- **refused**: 503 with `Retry-After` and the code `busy`, from an instance that has no room at that moment. The client
  is told that nothing happened and when to ask again, and agents do. It tells of a machine that is too small for the
  rate, not of an instance that came or went; so it isn't lost, but more than REFUSED_AT_MOST of the requests fail a
  test. It isn't zero because on two cores the load and five instances share the processors with those that start.
  An instance that refuses what it should serve while it comes or goes would refuse a third of all for seconds.
- **lost**: all the rest. No answer, a broken one, a 4xx, any other 5xx: HAProxy's own 502, 503 and 504, an instance's
  `shutting_down`, and `database_unavailable`, for here the database is always there, and an instance that closes its
  dbpool too early says just that. Nothing is lost while instances are stopped, started and scaled.
"""

import http.client
import itertools
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

REFUSED_AT_MOST = 0.01

Request = tuple[str, str, bytes | None, dict[str, str]]  # method, path, body, headers


def code_of(answer: bytes) -> object:
    """The code of a problem in JSON, None when it is none."""
    try:
        found = json.loads(answer)
    except ValueError:
        return None
    return found.get("code") if isinstance(found, dict) else None


class Lost(NamedTuple):
    """A request that was lost; both times in seconds from the start of the load."""

    sent: float
    ended: float
    what: str


@dataclass
class Result:
    """What came back: how often each status (0: no answer), how many refused, what was lost; the slowest answer."""

    statuses: Counter[int] = field(default_factory=Counter)
    lost: list[Lost] = field(default_factory=list)
    refused: int = 0
    slowest: float = 0.0

    @property
    def sent(self) -> int:
        return self.statuses.total()

    def nothing_is_lost(self) -> None:
        """AssertionError when a request was lost, or when more were refused than a full machine explains."""
        assert self.sent > 1000, self
        assert self.lost == [], self
        assert self.refused <= REFUSED_AT_MOST * self.sent, self

    def __str__(self) -> str:
        answers = f"{self.sent} sent, {dict(self.statuses)}, slowest {self.slowest:.2f} s"
        return f"{answers}, {self.refused} refused, {len(self.lost)} lost {self.lost[:8]}"


class Load:
    """`rate` requests a second to `host`:`port`, made by `request(number)`, until `stop()` or `limit` seconds.

    With `new_connections`, every second thread makes a connection for each request; with `tls`, all speak TLS.
    """

    def __init__(
        self,
        port: int,
        request: Callable[[int], Request],
        *,
        host: str = "127.0.0.1",
        rate: float = 200,
        threads: int = 24,
        limit: float = 180,
        new_connections: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host, self.port, self.request, self.rate, self.tls = host, port, request, rate, tls
        self.result = Result()
        self._numbers, self._lock = itertools.count(), threading.Lock()
        self._stop = threading.Event()
        self.started = time.monotonic()
        self._end = self.started + limit
        kept_alive = [not (new_connections and number % 2) for number in range(threads)]
        self._threads = [threading.Thread(target=self._work, args=[keep], daemon=True) for keep in kept_alive]

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

    def _work(self, keep_alive: bool) -> None:
        connection = self._connection()
        while not self._stop.is_set() and time.monotonic() < self._end:
            with self._lock:
                number = next(self._numbers)
            # Each request has its moment: a slow answer delays its thread, not the rate of the others.
            if self._stop.wait(max(0.0, self.started + number / self.rate - time.monotonic())):
                break
            self._once(connection, number)
            if not keep_alive:
                connection.close()
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self.tls:
            return http.client.HTTPSConnection(self.host, self.port, timeout=60, context=self.tls)
        return http.client.HTTPConnection(self.host, self.port, timeout=60)

    def _once(self, connection: http.client.HTTPConnection, number: int) -> None:
        method, path, body, headers = self.request(number)
        began = time.monotonic()
        refused = False
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = response.read()
            status = response.status
            text = f"{method} {path}: {status} of {response.getheader('X-Served-By')}: {answer[:200]!r}"
            refused = status == 503 and bool(response.getheader("Retry-After")) and code_of(answer) == "busy"
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            status, text = 0, f"{method} {path}: {error!r}"
        ended = time.monotonic()
        with self._lock:
            self.result.statuses[status] += 1
            self.result.slowest = max(self.result.slowest, ended - began)
            self.result.refused += refused
            if not refused and not 200 <= status < 400:
                lost = Lost(round(began - self.started, 2), round(ended - self.started, 2), text)
                self.result.lost.append(lost)
