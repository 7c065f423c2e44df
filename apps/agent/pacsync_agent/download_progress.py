"""How far the downloads are, for the person who waits. It must not know what is downloaded."""

from __future__ import annotations

import threading

from .output import Output


class DownloadProgress:
    """Counts what several threads download."""

    def __init__(self, output: Output, files: int, size: int) -> None:
        self._output, self._files, self._size = output, files, size
        self._done = self._bytes = 0
        self._lock = threading.Lock()
        self._show()

    def add_bytes(self, count: int) -> None:
        with self._lock:
            self._bytes += count
            self._show()

    def add_file(self) -> None:
        with self._lock:
            self._done += 1
            self._show()

    def _show(self) -> None:
        self._output.progress("downloading", self._done, self._files, self._bytes, self._size)
