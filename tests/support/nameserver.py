"""A DNS server on a loopback port that gives every name one IPv6 address, and no IPv4 address.

It must not know who asks. It answers one question per packet, as resolvers send them.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

HEADER, AAAA = 12, 28
ANSWERED = 0x8180  # a response, recursion desired and available, no error
FIRST_NAME = 0xC000 | HEADER  # a pointer to the name in the question


def answer(query: bytes, address: str) -> bytes:
    """The response to this query (RFC 1035, 4.1)."""
    end = query.index(b"\0", HEADER) + 5  # after the name: its type and class
    (kind,) = struct.unpack_from("!H", query, end - 4)
    record = struct.pack("!HHHIH", FIRST_NAME, AAAA, 1, 1, 16) + socket.inet_pton(socket.AF_INET6, address)
    found = record if kind == AAAA else b""
    return query[:2] + struct.pack("!HHHHH", ANSWERED, 1, bool(found), 0, 0) + query[HEADER:end] + found


@contextmanager
def nameserver(address: str) -> Iterator[int]:
    """The port of a running one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.2)
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    query, client = server.recvfrom(4096)
                except TimeoutError:
                    continue
                server.sendto(answer(query, address), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            thread.join()
