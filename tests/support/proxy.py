"""A TCP proxy of the test's own: its target can move, and connections can be black-holed. It must not know what passes.

A black hole takes bytes and passes none on, in both directions, and closes nothing: as a firewall that forgot the
connection. (The kernel of the proxy acknowledges, so tcp_user_timeout doesn't see it either.)
"""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.postgres import free_port


@dataclass(eq=False)
class Link:
    """One connection through the proxy."""

    client: socket.socket
    server: socket.socket | None
    black_hole: threading.Event = field(default_factory=threading.Event)

    def pump(self) -> None:
        with contextlib.suppress(OSError, ValueError), selectors.DefaultSelector() as selector, self.client:
            if self.server is None:
                threading.Event().wait(60)  # accepted, and never answered
                return
            with self.server:
                selector.register(self.client, selectors.EVENT_READ, self.server)
                selector.register(self.server, selectors.EVENT_READ, self.client)
                while True:
                    for key, _ in selector.select():
                        data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                        if self.black_hole.is_set():
                            if not data:
                                return
                            continue
                        if not data:
                            return
                        key.data.sendall(data)


class Proxy:
    """Listens on `port` of 127.0.0.1 and leads to `target`, a port there too."""

    def __init__(self, target: int) -> None:
        self.target, self.port = target, free_port()
        self.accepting = True  # False: a new connection is accepted and leads nowhere
        self.links: list[Link] = []
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = None
                if self.accepting:
                    try:
                        server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
                        server.settimeout(None)
                    except OSError:
                        client.close()
                        continue
                link = Link(client, server)
                self.links.append(link)
                threading.Thread(target=link.pump, daemon=True).start()

    def move(self, target: int) -> None:
        """New connections lead there; established ones stay where they are."""
        self.target = target

    def drop_established(self) -> None:
        """Every connection of now becomes a black hole; new ones work."""
        for link in self.links:
            link.black_hole.set()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in self.links:
            for end in (link.client, link.server):
                if end:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def running_proxy(target: int) -> Iterator[Proxy]:
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
