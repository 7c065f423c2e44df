"""Bytes that wait for the rest of a request, or for a client that takes its answer slowly.

A few are kept in memory, many in an unnamed temporary file. It must not know what the bytes mean.

Reason: gunicorn keeps no bytes for a slow client: the thread of its request waits. Remove with connection.py.
"""

import tempfile
import threading
from io import FileIO

IN_MEMORY = 64 * 1024  # bytes of one spool that are kept in memory


class _Total:
    """Bytes in all spools of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.size = 0


_total = _Total()


def total() -> int:
    """Bytes that wait in all spools of this process."""
    return _total.size


def _add(size: int) -> None:
    if size:
        with _total.lock:
            _total.size += size


class Spool:
    """First in, first out; one thread at a time uses it. OSError when a temporary file can't be made or written."""

    def __init__(self) -> None:
        self._memory = bytearray()
        self._file: FileIO | None = None
        self._read_at = self._written = 0

    def __len__(self) -> int:
        return len(self._memory) + self._written - self._read_at

    def append(self, data: bytes | memoryview) -> None:
        if self._file is None and len(self._memory) + len(data) <= IN_MEMORY:
            self._memory += data
        else:
            self._write(data)
        _add(len(data))

    def _write(self, data: bytes | memoryview) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="pacsync-", buffering=0)  # noqa: SIM115 - closed by `close`
        self._file.seek(self._written)
        rest = memoryview(data)
        while rest:  # a disk that fills up takes a part, and fails at the next write
            rest = rest[self._file.write(rest) :]
        self._written += len(data)

    def peek(self, size: int) -> bytes:
        """The first `size` bytes, or fewer if there are no more; they stay."""
        if self._memory:
            return bytes(self._memory[:size])
        if self._file is None or self._read_at == self._written:
            return b""
        self._file.seek(self._read_at)
        return self._file.read(min(size, self._written - self._read_at)) or b""

    def skip(self, size: int) -> None:
        """Forget the first `size` bytes of what `peek` showed."""
        if self._memory:
            del self._memory[:size]
        else:
            self._read_at += size
        _add(-size)

    def read(self, size: int) -> bytes:
        """The first `size` bytes or fewer, b"" at the end; they are forgotten."""
        data = self.peek(size)
        self.skip(len(data))
        return data

    def close(self) -> None:
        """Forget what is left."""
        _add(-len(self))
        self._memory.clear()
        self._read_at = self._written = 0
        if self._file is not None:
            self._file.close()
            self._file = None
