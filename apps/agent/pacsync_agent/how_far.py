"""How far the work on this machine is, in numbers and names, as the server takes it. It must not know who is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HOSTS = 4
"""So many hosts are told."""
MOST = 2**53 - 1


@dataclass(frozen=True)
class HowFar:
    """`phase` is one of output.TITLES, `done` of `total` packages, bytes of downloads; `package` is worked on now.

    `hosts` are those from which something comes now (`scheme://host:port`), `waiting` is what nothing goes on without.
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
        """Within the server's bounds, whatever a mirror or a package is called."""
        return {
            "phase": self.phase,
            "done": _bounded(self.done),
            "total": _bounded(self.total),
            "bytes_done": _bounded(self.bytes_done),
            "bytes_total": _bounded(self.bytes_total),
            "package": one_line(self.package, 255),
            "hosts": [one_line(host, 255) for host in self.hosts if host][:HOSTS],
            "waiting": one_line(self.waiting, 500),
        }


def _bounded(count: int) -> int:
    return max(0, min(count, MOST))


def one_line(text: str, most: int) -> str:
    """As the server takes it: no control characters, `most` characters at most."""
    return "".join(char if char.isprintable() else "?" for char in text)[:most]
