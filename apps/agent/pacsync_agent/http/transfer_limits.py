"""Limits of one network transfer, kept by a thread of its own: the time to the answer, the whole time, the least rate.

A socket's own timeout counts from byte to byte, so a slow peer could hold it for ever.
It must not know HTTP or what is transferred.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from . import own_addresses

TICK = 0.2  # seconds between two checks
NEXT = 3.0  # seconds until the next address of a host is tried: IPv6 doesn't work on some networks


class Guard:
    """`with Guard(…) as guard`: closes the sockets connected through it when a limit is passed.

    `head`: seconds until `begin_body` is called; `total`: seconds for everything; `rate`: bytes that must come on
    average in each second of any `window` seconds after that. `reason` says which limit was passed, or is empty.
    `may_stay_here`: whether a connection may lead to this machine itself; `stayed_here`: whether the last one did.
    """

    def __init__(self, *, head: float, total: float, rate: float = 0, window: float = 20) -> None:
        self.reason = ""
        self.may_stay_here = True
        self.stayed_here = False
        self._head, self._total, self._rate, self._window = head, total, rate, window
        self._began = time.monotonic()
        self._body_at = 0.0
        self._received = 0
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def __enter__(self) -> Guard:
        threading.Thread(target=self._watch, name="guard", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with self._lock:
            for known in self._sockets:
                known.close()
            self._sockets.clear()

    def connect(self, address: tuple[str, int], timeout: float, *_: Any, **__: Any) -> socket.socket:
        """A connection to (host, port), as socket.create_connection makes it.

        Raises OSError: ThisMachine (by the resolved address), TimeoutError when cut.
        """
        return self._connect(address, timeout, self.check)

    def connect_to_proxy(self, address: tuple[str, int], timeout: float, *_: Any, **__: Any) -> socket.socket:
        """The same to a proxy, which may be on this machine."""
        return self._connect(address, timeout, lambda found: None)

    def check(self, address: str) -> None:
        """Raise ThisMachine where this numeric address mayn't be connected to."""
        self.stayed_here = own_addresses.leads_here(address)
        if self.stayed_here and not self.may_stay_here:
            raise own_addresses.ThisMachine

    def _connect(self, address: tuple[str, int], timeout: float, check: Callable[[str], None]) -> socket.socket:
        error: OSError = OSError("its name has no address")
        known = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        for number, (family, kind, protocol, _name, found) in enumerate(known, 1):
            remaining = self._remaining() if number == len(known) else min(NEXT, self._remaining())
            if remaining <= 0 or self.reason:
                break
            made = socket.socket(family, kind, protocol)
            try:
                check(str(found[0]))
                made.settimeout(min(timeout, remaining))
                made.connect(found)
            except OSError as failed:
                made.close()
                error = failed
                continue
            made.settimeout(timeout)
            self._keep(made)
            return made
        raise error

    @property
    def connected(self) -> bool:
        """Whether there was a connection (to the proxy, where one is used)."""
        with self._lock:
            return bool(self._sockets)

    def _keep(self, made: socket.socket) -> None:
        """Keep a second descriptor of the connection: TLS takes the socket's own away."""
        with self._lock:
            self._sockets.append(socket.socket(made.family, made.type, made.proto, fileno=os.dup(made.fileno())))
            cut = bool(self.reason)
        if cut:
            self._cut(self.reason)

    def begin_body(self) -> None:
        """The answer has begun: check the rate from now on."""
        self._body_at = time.monotonic()

    def count(self, received: int) -> None:
        self._received += received

    def _remaining(self) -> float:
        return self._began + (self._total if self._body_at else min(self._head, self._total)) - time.monotonic()

    def _watch(self) -> None:
        counted, since = 0, 0.0
        while not self._ended.wait(TICK):
            now = time.monotonic()
            if not self._body_at and now > self._began + self._head:
                return self._cut(f"no answer within {self._head:.0f} s")
            if now > self._began + self._total:
                return self._cut(f"not done within {self._total:.0f} s")
            since = max(since, self._body_at)
            if self._body_at and now > since + self._window:
                if self._received - counted < self._rate * self._window:
                    return self._cut(f"slower than {self._rate:.0f} bytes a second")
                counted, since = self._received, now

    def _cut(self, reason: str) -> None:
        with self._lock:
            self.reason = self.reason or reason
            for known in self._sockets:
                with contextlib.suppress(OSError):
                    known.shutdown(socket.SHUT_RDWR)
