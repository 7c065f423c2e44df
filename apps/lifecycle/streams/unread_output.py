"""Standard output and error that hold up nobody: what no reader takes is dropped. Standard library only.

A pipe holds 64 KiB. If its reader stops (a log collector that hangs, `server | sleep 1000`), a write to it waits for
ever and holds the log's lock, so every request, probe and signal handler that logs waits with it.
It must not know what is written.
"""

import io
import logging
import os
import select
import socket
import stat
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TextIO

logger = logging.getLogger(__name__)

PATIENCE = 0.1  # seconds for a reader that is only slow; after them nothing is waited for until something is taken


def replace() -> None:
    """Replace sys.stdout and sys.stderr, once."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, NeverWaiting):
            setattr(sys, name, NeverWaiting(stream))


class NeverWaiting(io.TextIOBase):
    """Writes to the same file as `stream`. When lines were dropped and the reader is back, a line says how many."""

    def __init__(self, stream: TextIO) -> None:
        stream.flush()
        self._stream, self._send = stream, sender(stream.fileno())
        self._patience = PATIENCE
        self._rest = b""  # of a line that has been written in part
        self._dropped = 0

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base has it as an attribute that can be set
        return self._stream.encoding

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Write one line or more. It has no lock: logging has one, which it also renews after a fork."""
        self._rest = self._push(self._rest)
        if self._dropped and not self._rest and self._takes_more(0):
            dropped, self._dropped = self._dropped, 0
            logger.warning("%d lines of this log are missing: nobody read %s", dropped, self._stream.name)
        data = text.encode(self.encoding, "backslashreplace")
        left = data if self._rest else self._push(data)
        if len(left) < len(data):
            self._rest = left
        elif data:
            self._dropped += 1
        return len(text)

    def _push(self, data: bytes) -> bytes:
        """Write what is taken; what is left of `data`."""
        end = time.monotonic() + self._patience
        while data:
            try:
                data = data[self._send(data) :]
                self._patience = PATIENCE
            except BlockingIOError:
                seconds = end - time.monotonic()
                if seconds <= 0 or not self._takes_more(seconds):
                    self._patience = 0
                    break
            except OSError:  # nobody will ever read it
                return b""
        return data

    def _takes_more(self, seconds: float) -> bool:
        poll = select.poll()  # a new one, because a signal handler may write in the middle of this
        poll.register(self.fileno(), select.POLLOUT)
        return bool(poll.poll(seconds * 1000))


def sender(descriptor: int) -> Callable[[bytes], int]:
    """A function that writes to the file and returns how many bytes were taken. BlockingIOError instead of a wait.

    O_NONBLOCK belongs to the open file, which other processes use as well (a shell its terminal): it is opened again.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        return partial(_send, descriptor)
    if not (stat.S_ISFIFO(mode) or os.isatty(descriptor)):
        return partial(os.write, descriptor)  # no reader of a file holds anybody up
    try:
        again = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # it belongs to another user, or this isn't Linux
        again = descriptor
        os.set_blocking(again, not stat.S_ISFIFO(mode))
    return partial(os.write, again)


def _send(descriptor: int, data: bytes) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        return sock.send(data, socket.MSG_DONTWAIT)
