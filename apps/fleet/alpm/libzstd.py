"""Decompresses zstd with the libzstd of the system, for a Python without a module for it. It must not know archives.

pacman itself needs the library (by libarchive), so it is on each machine that has pacman. Its streaming functions are
the stable part of its interface. Source: zstd.h, "Streaming decompression - HowTo".
"""

from __future__ import annotations

import ctypes
import io
from typing import Any, BinaryIO, Optional

BLOCK = 128 << 10  # bytes that are read at once


class ZstdError(ValueError):
    """The data is no zstd, or damaged."""


class _Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer: where it is, its bytes, and how many of them are done."""

    _fields_ = (("start", ctypes.c_void_p), ("size", ctypes.c_size_t), ("done", ctypes.c_size_t))


def _load() -> Optional[ctypes.CDLL]:
    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError:
        return None
    library.ZSTD_createDStream.restype = ctypes.c_void_p
    library.ZSTD_freeDStream.argtypes = [ctypes.c_void_p]
    library.ZSTD_decompressStream.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Buffer), ctypes.POINTER(_Buffer)]
    library.ZSTD_decompressStream.restype = ctypes.c_size_t
    library.ZSTD_isError.argtypes = [ctypes.c_size_t]
    library.ZSTD_getErrorName.argtypes = [ctypes.c_size_t]
    library.ZSTD_getErrorName.restype = ctypes.c_char_p
    return library


# Loaded with the module: a sync may replace the library.
library = _load()


class _Stream(io.RawIOBase):
    """The decompressed content of `raw`: one frame after another."""

    def __init__(self, raw: BinaryIO, using: ctypes.CDLL) -> None:
        self._raw, self._library = raw, using
        self._stream: Optional[int] = using.ZSTD_createDStream()
        if not self._stream:
            raise MemoryError
        self._block = b""
        self._input = _Buffer()
        self._in_frame = False

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        """Raises ZstdError, and EOFError in the middle of a frame."""
        room = memoryview(target).nbytes
        start = ctypes.addressof((ctypes.c_char * room).from_buffer(target))
        output = _Buffer(start, room, 0)
        while output.done == 0:
            if self._input.done == self._input.size:
                self._fill()
            at_end = not self._block
            if at_end and not self._in_frame:
                return 0
            self._decompress(output)  # at the end as well: some output may still be in the library
            if at_end and output.done == 0:
                raise EOFError("it ends in the middle of a zstd frame")
        return int(output.done)

    def _fill(self) -> None:
        self._block = self._raw.read(BLOCK)
        address = ctypes.cast(ctypes.c_char_p(self._block), ctypes.c_void_p)
        self._input = _Buffer(address, len(self._block), 0)

    def _decompress(self, output: _Buffer) -> None:
        left = self._library.ZSTD_decompressStream(self._stream, ctypes.byref(output), ctypes.byref(self._input))
        if self._library.ZSTD_isError(left):
            raise ZstdError(self._library.ZSTD_getErrorName(left).decode())
        self._in_frame = left != 0

    def close(self) -> None:
        if self._stream:
            self._library.ZSTD_freeDStream(self._stream)
            self._stream = None
        super().close()


def stream(raw: BinaryIO, using: ctypes.CDLL) -> BinaryIO:
    """A reader of the decompressed content; close it. Its `read` raises ZstdError, EOFError (cut off), OSError."""
    return io.BufferedReader(_Stream(raw, using), BLOCK)
