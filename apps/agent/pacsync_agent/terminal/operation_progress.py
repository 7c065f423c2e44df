"""The progress of an operation, in the form that the server accepts. It must not know who receives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .printable import printable

HOSTS = 4
"""Hosts in a report of progress."""
MOST = 2**53 - 1


@dataclass(frozen=True)
class OperationProgress:
    """`phase` is one of output.TITLES; `done` and `total` are packages, or bytes; `package` is the current one.

    `hosts` lists those of running transfers (`scheme://host:port`), `waiting` is what the downloads wait for.
    """

    phase: str
    done: int = 0
    total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    package: str = ""
    hosts: tuple[str, ...] = ()
    waiting: str = ""

    def as_json(self) -> dict[str, Any]:
        """As JSON, within the server's bounds."""
        return {
            "phase": self.phase,
            "done": _bounded(self.done),
            "total": _bounded(self.total),
            "bytes_done": _bounded(self.bytes_done),
            "bytes_total": _bounded(self.bytes_total),
            "package": printable(self.package, 255),
            "hosts": [printable(host, 255) for host in self.hosts if host][:HOSTS],
            "waiting": printable(self.waiting, 500),
        }


def _bounded(count: int) -> int:
    return max(0, min(count, MOST))
