"""Requests written byte by byte on a connection of the test's own. It must not know what the server answers."""

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def asked(port: int, sent: bytes, *, window: int = 0) -> Iterator[socket.socket]:
    """A connection on which this was sent; with a `window` the kernel takes no more bytes of an answer than that."""
    with socket.socket() as one:
        if window:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        one.settimeout(20)
        one.connect(("127.0.0.1", port))
        one.sendall(sent)
        yield one


def head(length: int, *, path: str = "/measure", fields: bytes = b"") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n".encode() + fields + b"\r\n"
