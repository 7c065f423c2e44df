"""One answer over http or https, within limits of time and size. It must not know what is fetched or why.

The whole answer is limited, not only each of its parts: a timer cuts the connection off, from the moment that it is
made. Proxies of the environment (`http_proxy`, `https_proxy`, `no_proxy`) are used, and its certificates
(`SSL_CERT_FILE`, `SSL_CERT_DIR`), which OpenSSL reads for each connection.
"""

import http.client
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

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
            with self._lock:
                while self._sockets:
                    self._sockets.pop().close()

    def connect(self, *arguments: Any, **options: Any) -> socket.socket:
        """As socket.create_connection. What follows, a proxy's tunnel or a handshake, is a part of the whole, too."""
        connected = socket.create_connection(*arguments, **options)
        with self._lock:
            self._sockets.append(connected.dup())  # TLS takes the first one's descriptor away
        if self.is_over():  # the timer didn't see this one
            self._cut()
        return connected

    def _cut(self) -> None:
        with self._lock:
            for one in self._sockets:
                with suppress(OSError):  # the peer has closed it
                    one.shutdown(socket.SHUT_RDWR)


def get(url: str, headers: dict[str, str], watch: Watch, most: int) -> Answer:
    """The answer to one GET; a redirect isn't followed. Raises TooLarge (beyond `most` bytes), TimedOut, Failed."""
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the opener knows only http and https
    except ValueError as error:
        raise Failed(_text(error)) from None
    host = request.host
    try:
        with _opener(watch).open(request, timeout=SILENCE) as answer:
            return Answer(answer.status, answer.headers, _body(answer, watch, most))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, b"")
    except (OSError, http.client.HTTPException, ValueError) as error:
        if watch.is_over():
            raise TimedOut from None
        through = f" (through the proxy {request.host})" if request.host != host else ""
        raise Failed(_text(error.reason if isinstance(error, urllib.error.URLError) else error) + through) from None


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
    if isinstance(reason, ssl.SSLCertVerificationError):
        text = f"its certificate is not valid: {reason.verify_message}"
    elif isinstance(reason, ssl.SSLError):
        text = f"it doesn't speak TLS as it should: {reason.reason or reason}"
    else:
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return " ".join(text.split()).rstrip(".")[:200]


def _opener(watch: Watch) -> urllib.request.OpenerDirector:
    """One that knows http, https and proxies, and neither redirects nor other schemes."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        _ProxyHandler(),
        _Handler(watch),
        _SecureHandler(watch),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


class _ProxyHandler(urllib.request.ProxyHandler):
    """Refuses what urllib would take for an http proxy, or name with its password in an error."""

    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> Any:
        if req.host and urllib.request.proxy_bypass(req.host):
            return None
        with suppress(ValueError):
            parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            if parts.scheme == "http" and parts.hostname and (parts.port or 1) > 0:
                return super().proxy_open(req, proxy, type)
        raise urllib.error.URLError(f"the proxy in {type}_proxy is not like http://proxy.example:3128")


class _Handler(urllib.request.HTTPHandler):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(partial(_Connection, connect=self._watch.connect), req)


class _SecureHandler(urllib.request.HTTPSHandler):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(partial(_SecureConnection, connect=self._watch.connect), req)


class _Connection(http.client.HTTPConnection):
    def __init__(self, *arguments: Any, connect: Callable[..., socket.socket], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._create_connection = connect


class _SecureConnection(http.client.HTTPSConnection):
    def __init__(self, *arguments: Any, connect: Callable[..., socket.socket], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._create_connection = connect
