"""Ends a listener: the kernel drops new connections while it is still open. It must not know about requests.

A connection may come after the last one was accepted and before the listener is closed. The kernel resets it, and its
client can't know whether it may send its request again. A client whose first packet is dropped sends it again after a
second: by then it is refused, or reaches another instance.
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


def drop_new_connections(listener: socket.socket) -> None:
    """Drop first packets from now on, for every process that shares the listener; handshakes under way finish as usual.

    Does nothing for a Unix socket. Raises OSError if the kernel has no such filter.
    """
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in NO_NEW_CONNECTION))
    described = struct.pack("@HP", len(NO_NEW_CONNECTION), ctypes.addressof(program))
    listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, described)


def has_connection(listener: Any, until: float) -> bool:
    """Whether a connection waits to be accepted, or arrives before the monotonic time `until`."""
    return bool(select.select([listener], [], [], max(0.0, until - time.monotonic()))[0])
