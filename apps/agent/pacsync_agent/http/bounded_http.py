"""HTTP requests under a guard: no redirect is followed, no body is read unasked, nothing outlives the guard.

It must not know what is asked for or from whom.
"""

from __future__ import annotations

import functools
import http.client
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Optional

from . import own_addresses, proxies, socks
from .transfer_limits import Guard

NO_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
# What a failed connection raises; `reason_of` has the texts for it.
ERRORS = (OSError, http.client.HTTPException, ValueError)


class _Connection(http.client.HTTPConnection):
    def __init__(self, *arguments: Any, connect: socks.Connect, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._create_connection = connect


class _SecureConnection(http.client.HTTPSConnection):
    def __init__(self, *arguments: Any, connect: socks.Connect, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._create_connection = connect


def _connect(guard: Guard, request: urllib.request.Request) -> socks.Connect:
    """Raise ThisMachine for a host that no proxy may be asked for; the proxy resolves it, so only its text counts."""
    if not getattr(request, "proxied", False):
        return guard.connect
    guard.stayed_here = False
    if not guard.may_stay_here and own_addresses.named_here(urllib.parse.urlsplit(request.full_url).hostname or ""):
        raise own_addresses.ThisMachine
    proxy = getattr(request, "socks", None)
    return socks.through(proxy, guard.connect_to_proxy, guard.check) if proxy else guard.connect_to_proxy


class _Http(urllib.request.HTTPHandler):
    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(functools.partial(_Connection, connect=_connect(self._guard, req)), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, guard: Guard) -> None:
        super().__init__(context=tls())
        self._guard = guard

    def https_open(self, req: urllib.request.Request) -> Any:
        maker = functools.partial(_SecureConnection, connect=_connect(self._guard, req), context=tls())
        return self.do_open(maker, req)


@functools.lru_cache(maxsize=None)
def tls() -> ssl.SSLContext:
    """The one TLS context: the system's certificates, host names checked."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def send(request: urllib.request.Request, guard: Guard, *, choose: proxies.Choose, timeout: float) -> Any:
    """The http.client.HTTPResponse to the request, whatever its status. `timeout`: seconds of silence.

    Raises one of ERRORS; `reason_of` puts it in our own words.
    """
    opener = urllib.request.OpenerDirector()
    handlers: tuple[urllib.request.BaseHandler, ...] = (proxies.Handler(choose), _Http(guard), _Https(guard))
    for handler in (*handlers, urllib.request.UnknownHandler()):
        opener.add_handler(handler)
    return opener.open(request, timeout=timeout)


def cause_of(error: BaseException) -> object:
    """The error that urllib has wrapped."""
    return error.reason if isinstance(error, urllib.error.URLError) else error


def reason_of(error: BaseException, guard: Optional[Guard] = None) -> str:
    """Why a request failed, in our own words: texts of the system or of the peer are never passed on."""
    if guard and guard.reason:
        return guard.reason
    inner = cause_of(error)
    if isinstance(inner, (str, socks.ProxyRefuses, own_addresses.ThisMachine)):  # of urllib's own handlers and ours
        return str(inner)
    for kinds, text in _REASONS:
        if isinstance(inner, kinds):
            return text
    return "it can't be reached"


def is_network(error: BaseException) -> bool:
    """Whether the host was not reached or fell silent, rather than answered."""
    inner = cause_of(error)
    if isinstance(inner, (ssl.SSLError, http.client.InvalidURL, UnicodeError)):
        return False
    return isinstance(inner, (OSError, http.client.IncompleteRead, http.client.RemoteDisconnected))


def is_unknown_name(error: BaseException) -> bool:
    """Whether the host's name can't be resolved."""
    return isinstance(cause_of(error), socket.gaierror)


def is_no_name(error: BaseException) -> bool:
    """Whether the name service says that there is no such host, rather than failing for now."""
    inner = cause_of(error)
    return isinstance(inner, socket.gaierror) and inner.errno in NO_NAME


def is_silence(error: BaseException) -> bool:
    """Whether the host was silent for too long."""
    return isinstance(cause_of(error), (socket.timeout, TimeoutError))


_REASONS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((ssl.SSLCertVerificationError,), "its certificate is not valid"),
    ((ssl.SSLError,), "it doesn't speak TLS as it should"),
    ((socket.gaierror, UnicodeError), "its name can't be resolved"),
    ((socket.timeout, TimeoutError), "no answer in time"),
    ((ConnectionRefusedError,), "it refuses connections"),
    ((http.client.IncompleteRead, ConnectionError), "the connection broke off"),
    ((http.client.InvalidURL,), "its address makes no sense"),
    ((http.client.HTTPException,), "it doesn't speak HTTP as it should"),
)
