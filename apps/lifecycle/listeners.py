"""The end of a listener: the kernel takes no new connection, though it is still open. It must not know requests.

Between the last look for a waiting connection and the listener's end another one may come. The kernel then resets it,
and its client can't know whether it may ask again. A client whose first packet is dropped sends it again after a
second, and is refused by then, or reaches another instance.
"""

import ctypes
import select
import socket
import struct
import time
from typing import Any

SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no name for it
FLAGS, SYN, SYN_OR_ACK = 13, 0x02, 0x12  # of a TCP header: the place of its flags, and two of them
# Classic BPF (linux/filter.h): code, jump if true, jump if false, operand.
NO_NEW_CONNECTION = (
    (0x30, 0, 0, FLAGS),  # load the byte
    (0x54, 0, 0, SYN_OR_ACK),  # and
    (0x15, 0, 1, SYN),  # is it a first packet?
    (0x06, 0, 0, 0),  # then drop it
    (0x06, 0, 0, 0xFFFFFFFF),
)


def refuse_new(listener: socket.socket) -> None:
    """Drop first packets from now on, for every process that shares the listener; handshakes under way end as usual.

    Does nothing for a Unix socket. Raises OSError when the kernel has no such filter.
    """
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in NO_NEW_CONNECTION))
    described = struct.pack("@HP", len(NO_NEW_CONNECTION), ctypes.addressof(program))
    listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, described)


def has_connection(listener: Any, until: float) -> bool:
    """Whether somebody waits to be accepted, or comes before the monotonic time `until`."""
    return bool(select.select([listener], [], [], max(0.0, until - time.monotonic()))[0])
