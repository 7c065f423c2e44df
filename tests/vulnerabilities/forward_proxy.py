"""A real proxy on this machine: it connects where a client asks it to. It must not know what passes."""

import base64
import contextlib
import socket
import threading

from tests.support.hostile import Hostile, Peer


class ForwardProxy(Hostile):
    """`paths` has what it was asked for: `host:port` to be connected with, or a whole address of plain HTTP.

    With a `login` (`user:password`) it answers 407 to whoever doesn't send it.
    """

    def __init__(self, login: str = "") -> None:
        super().__init__(self._forward)
        self.expected = f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""

    def _forward(self, peer: Peer) -> None:
        if self.expected and peer.headers.get("proxy-authorization") != self.expected:
            peer.answer(status="407 Proxy Authentication Required")
        elif "://" not in peer.path:
            with _connected(peer.path) as there:
                peer.send(b"HTTP/1.1 200 Connected\r\n\r\n")
                _relay(peer.connection, there)
        else:
            host, _, path = peer.path.removeprefix("http://").partition("/")
            headers = {name: value for name, value in peer.headers.items() if not name.startswith("proxy-")}
            head = [f"GET /{path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
            with _connected(host) as there:
                there.sendall("\r\n".join(head).encode())
                _relay(peer.connection, there)


def _connected(host: str) -> socket.socket:
    name, _, port = host.rpartition(":")
    return socket.create_connection((name, int(port)), timeout=20)


def _relay(client: socket.socket, server: socket.socket) -> None:
    """Until the server has said everything."""
    up = threading.Thread(target=_copy, args=(client, server), daemon=True)
    up.start()
    _copy(server, client)
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
    up.join(20)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(65536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)
