"""What one worker counts and reports to the others, in its own piece of the instance's shared memory.

The piece is `scratch()` of its slot (`apps.lifecycle.shared_memory.slots`): zeroes at first, and kept when the worker
restarts, so that numbers never go backwards. Only its own worker writes to it; all workers read it. It must not know
what the numbers mean.
"""

import json
import logging
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

logger = logging.getLogger(__name__)

REPORT_SIZE = 64 * 1024  # bytes at the end of a piece for its report; the rest is for numbers, some 1,000 series
_ENTRY = struct.Struct("=II")  # length of the key, number of doubles
_REPORT = struct.Struct("=II")  # length, CRC


class WorkerMemory:
    """One piece. Within the process that writes to it, `lock` is held for every change.

    `doubles` has the numbers, each stored as one word, so that a reader never sees half of one.
    """

    def __init__(self, piece: memoryview) -> None:
        self._limit = len(piece) - REPORT_SIZE
        self._bytes, self._report = piece[: self._limit], piece[self._limit :]
        self.doubles, self._words = self._bytes.cast("d"), self._bytes.cast("Q")
        self._full = False
        self.lock = threading.Lock()
        # An entry that a killed worker had only half made lies after the end in the first word, and is overwritten.
        self._positions = {key: position for key, position, _ in self._entries()}

    def _entries(self) -> Iterator[tuple[bytes, int, int]]:
        """Key, index of the first double, number of doubles. The first word is the end of the last entry."""
        at, end = 8, self._words[0]
        while at < end:
            length, count = _ENTRY.unpack_from(self._bytes, at)
            position = (at + 8 + _padded(length)) // 8
            yield bytes(self._bytes[at + 8 : at + 8 + length]), position, count
            at = (position + count) * 8

    def position(self, key: bytes, count: int, spare: int = 0) -> int:
        """Where the `count` doubles of `key` are, made if they are new; -1 if the piece is full. Hold `lock`.

        New ones leave `spare` bytes free for others, or aren't made.
        """
        found = self._positions.get(key)
        return self._append(key, count, spare) if found is None else found

    def _append(self, key: bytes, count: int, spare: int) -> int:
        at = max(8, self._words[0])
        position = (at + 8 + _padded(len(key))) // 8
        end = (position + count) * 8
        if end > self._limit - spare:
            if not self._full and not spare:
                logger.error("no room for more metrics: new series are not counted")
                self._full = True
            return -1
        _ENTRY.pack_into(self._bytes, at, len(key), count)
        self._bytes[at + 8 : at + 8 + len(key)] = key
        self._words[0] = end  # last, so that concurrent readers see only whole entries
        self._positions[key] = position
        return position

    def numbers(self) -> Iterator[tuple[bytes, list[float]]]:
        for key, position, count in self._entries():
            yield key, [float(value) for value in self.doubles[position : position + count]]

    def write_report(self, value: Any) -> None:
        """Leave a JSON value for the other workers, replacing the last one."""
        text = json.dumps(value, separators=(",", ":")).encode()
        if len(text) > REPORT_SIZE - _REPORT.size:
            logger.error("a report of %s bytes is too long to be shared", len(text))
            return
        self._report[_REPORT.size : _REPORT.size + len(text)] = text
        _REPORT.pack_into(self._report, 0, len(text), zlib.crc32(text))

    def read_report(self) -> Any:
        """The last report; None if there is none, or if it is being written right now."""
        length, checksum = _REPORT.unpack_from(self._report, 0)
        text = bytes(self._report[_REPORT.size : _REPORT.size + length])
        return json.loads(text) if length and zlib.crc32(text) == checksum else None


def _padded(length: int) -> int:
    return (length + 7) // 8 * 8


def totals(pieces: Iterable[memoryview]) -> dict[bytes, list[float]]:
    """The numbers of all pieces, added up by key."""
    found: dict[bytes, list[float]] = {}
    for piece in pieces:
        for key, values in WorkerMemory(piece).numbers():
            before = found.get(key)
            found[key] = [a + b for a, b in zip(before, values, strict=True)] if before else values
    return found
