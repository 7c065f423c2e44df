"""Two answers in turns: ours, the least one, ours …, so that a slow moment of the machine hits both.

It must not know what is asked.
"""

import http.client
import statistics
import time
from collections.abc import Callable, Mapping

TIMEOUT = 120.0  # seconds


def paired(ours: Callable[[], object], least: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The median seconds of both. A first call of each isn't counted: it fills what is remembered."""
    return in_turns(ours, least, rounds, before=lambda: (ours(), least()))


def in_turns(
    ours: Callable[[], object],
    least: Callable[[], object],
    rounds: int,
    *,
    before: Callable[[], object] | None = None,
    each: Callable[[], object] | None = None,
) -> tuple[float, float]:
    """The same; `before` is called once at the beginning, `each` before each round, and neither is timed."""
    if before:
        before()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        if each:
            each()
        for asked, found in zip((ours, least), times, strict=True):
            began = time.perf_counter()
            asked()
            found.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


class Client:
    """A kept connection to a server on loopback, with headers for every request."""

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        self.headers = dict(headers)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)

    def get(self, path: str) -> bytes:
        """The body. AssertionError for what is no 200."""
        return self.ask("GET", path)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        """The body; the names of `headers` have `_` for `-`. AssertionError for what is no 2xx."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body, self.headers | given)
        answer = self._connection.getresponse()
        content = answer.read()
        assert 200 <= answer.status < 300, f"{method} {path}: {answer.status} {content[:500]!r}"
        return content

    def close(self) -> None:
        self._connection.close()
