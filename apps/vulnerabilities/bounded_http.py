"""One answer over http or https, within limits of time and size. It must not know what is fetched or why.

The whole answer is limited, not only each of its parts: a timer cuts the connection off. Proxies of the environment
(`https_proxy`, `no_proxy`) are used.
"""

import http.client
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from typing import Any, NamedTuple

SILENCE = 10.0
"""Seconds for connecting, and between two parts of the answer."""
_CHUNK = 1 << 16


class TooLarge(Exception):
    """The body has more bytes than are read."""


class TimedOut(Exception):
    """The time for the whole answer was over."""


class Failed(Exception):
    """There was no answer, or not the whole one. The text is a part of a sentence, in one line."""


class Answer(NamedTuple):
    """`body` is empty unless the status is 200."""

    status: int
    headers: Message
    body: bytes


class Watch:
    """Ends the connections that it knows at its deadline. A limit for each read would let an answer drip."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def is_over(self) -> bool:
        return time.monotonic() >= self._deadline

    @contextmanager
    def running(self) -> Iterator[None]:
        timer = threading.Timer(max(0.0, self._deadline - time.monotonic()), self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def add(self, connected: socket.socket) -> None:
        with self._lock:
            self._sockets.append(connected)
        if self.is_over():  # the timer didn't see this one
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            for one in self._sockets:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:  # it is closed already
                    continue


def get(url: str, headers: dict[str, str], watch: Watch, most: int) -> Answer:
    """The answer to one GET; a redirect isn't followed. Raises TooLarge (beyond `most` bytes), TimedOut, Failed."""
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the opener knows only http and https
        with _opener(watch).open(request, timeout=SILENCE) as answer:
            return Answer(answer.status, answer.headers, _body(answer, watch, most))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, b"")
    except (OSError, http.client.HTTPException, ValueError) as error:
        if watch.is_over():
            raise TimedOut from None
        raise Failed(_text(getattr(error, "reason", error))) from None


def _body(answer: Any, watch: Watch, most: int) -> bytes:
    data = bytearray()
    while chunk := answer.read1(_CHUNK):
        data += chunk
        if len(data) > most:
            raise TooLarge
    if watch.is_over():  # the timer ended the connection, which may look like the end of the answer
        raise TimedOut
    length = answer.headers.get("Content-Length", "")
    if length.isdecimal() and len(data) < int(length):
        raise http.client.HTTPException("the answer was cut off")
    return bytes(data)


def _text(reason: object) -> str:
    text = " ".join((getattr(reason, "strerror", None) or str(reason) or type(reason).__name__).split())
    return text.rstrip(".")[:200]


def _opener(watch: Watch) -> urllib.request.OpenerDirector:
    """One that knows http, https and proxies, and neither redirects nor other schemes."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        _Handler(watch),
        _SecureHandler(watch),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


class _Handler(urllib.request.HTTPHandler):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def http_open(self, req: urllib.request.Request) -> Any:
        watch = self._watch

        class Watched(http.client.HTTPConnection):
            def connect(self) -> None:
                super().connect()
                watch.add(self.sock)

        return self.do_open(Watched, req)


class _SecureHandler(urllib.request.HTTPSHandler):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def https_open(self, req: urllib.request.Request) -> Any:
        watch = self._watch

        class Watched(http.client.HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                watch.add(self.sock)

        return self.do_open(Watched, req)
