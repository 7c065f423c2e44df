"""Connections through a SOCKS 5 proxy (RFC 1928), with user and password (RFC 1929). It must not know what is sent."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

from .proxies import Proxy

Connect = Callable[..., socket.socket]
NO_PASSWORD, PASSWORD = 0, 2  # login methods
REPLIES = {
    1: "the proxy failed",
    2: "the proxy allows no connection to it",
    3: "the proxy finds no way to its network",
    4: "the proxy can't reach it",
    5: "it refuses connections",
    6: "the proxy gave it up",
}


class ProxyRefuses(OSError):
    """The proxy refuses the connection; the text says why in our own words."""


def through(proxy: Proxy, connect: Connect, check: Callable[[str], None] = lambda address: None) -> Connect:
    """A function like `connect` (socket.create_connection) whose connections lead through the proxy.

    Where this machine resolves the name, `check` raises for a forbidden address. The function raises what `connect` and
    `check` raise, and ProxyRefuses.
    """

    def connect_through(address: tuple[str, int], *arguments: Any, **options: Any) -> socket.socket:
        host, _, port = proxy.host.rpartition(":")
        made = connect((host.strip("[]"), int(port)), *arguments, **options)
        try:
            if proxy.scheme == "socks5":  # as in curl, the proxy is asked for a name with `socks5h` only
                found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][4]
                address = str(found[0]), address[1]
                check(address[0])
            _log_in(made, proxy)
            _ask(made, address)
        except BaseException:
            made.close()
            raise
        return made

    return connect_through


def _log_in(made: socket.socket, proxy: Proxy) -> None:
    ways = bytes([NO_PASSWORD, PASSWORD] if proxy.user else [NO_PASSWORD])
    made.sendall(bytes([5, len(ways)]) + ways)
    version, way = _read(made, 2)
    if version != 5:
        raise ProxyRefuses("the proxy doesn't speak SOCKS 5")
    if way == PASSWORD and proxy.user:
        user, password = (word.encode()[:255] for word in (proxy.user, proxy.password))
        made.sendall(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        if _read(made, 2)[1]:
            raise ProxyRefuses("the proxy doesn't accept its user and password")
    elif way != NO_PASSWORD:
        raise ProxyRefuses("the proxy wants a user and a password")


def _ask(made: socket.socket, address: tuple[str, int]) -> None:
    host, port = address
    made.sendall(b"\5\1\0" + _encoded(host) + struct.pack(">H", port))
    _, reply, _, kind = _read(made, 4)
    if reply:
        raise ProxyRefuses(REPLIES.get(reply, "the proxy makes no connection"))
    _read(made, {1: 4, 4: 16}.get(kind) or _read(made, 1)[0])  # the address that the proxy uses
    _read(made, 2)


def _encoded(host: str) -> bytes:
    for kind, family in ((b"\1", socket.AF_INET), (b"\4", socket.AF_INET6)):
        try:
            return kind + socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
    name = host.encode("idna")
    return b"\3" + bytes([len(name)]) + name


def _read(made: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = made.recv(size - len(found))
        if not part:
            raise ProxyRefuses("the proxy ended the connection")
        found += part
    return found
