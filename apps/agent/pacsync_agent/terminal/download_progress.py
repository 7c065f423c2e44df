"""Shows the progress of the downloads: files, bytes, package, hosts, and what they wait for.

Safe to use from several threads. It must not know what is downloaded.
"""

from __future__ import annotations

import threading
from collections import Counter

from .output import Output


class Progress:
    """Counts the downloads of several threads."""

    def __init__(self, output: Output, files: int, size: int) -> None:
        self._output, self._files, self._size = output, files, size
        self._done = self._bytes = 0
        self._hosts: Counter[str] = Counter()
        self._waiting: dict[int, str] = {}
        self._packages: dict[int, str] = {}
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

    def on_package(self, name: str) -> None:
        """This thread works on this package now; empty: on none."""
        with self._lock:
            self._packages.pop(threading.get_ident(), None)
            if name:
                self._packages[threading.get_ident()] = name
            self._show()

    def on_host(self, host: str, begins: bool) -> None:
        """A transfer from this host (`scheme://host:port`) begins, or has ended."""
        with self._lock:
            self._hosts[host] += 1 if begins else -1
            self._show()

    def on_wait(self, text: str) -> None:
        """This thread waits for what the text says; it continues if the text is empty."""
        with self._lock:
            self._waiting.pop(threading.get_ident(), None)
            if text:
                self._waiting[threading.get_ident()] = text
            self._show()

    def _show(self) -> None:
        hosts = sorted(host for host, count in self._hosts.items() if count > 0)
        waiting = next(iter(self._waiting.values()), "")
        package = next(iter(self._packages.values()), "")
        numbers = (self._done, self._files, self._bytes, self._size)
        self._output.progress("downloading", *numbers, hosts=hosts, waiting=waiting, package=package)
