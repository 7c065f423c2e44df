"""Checksums of package files that this machine accepted before: they still count for the files in its cache.

A repository that was rebuilt in place has only its last build, and a revert needs the one before. It must not know
where files are or decide whether one may be installed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..system import files

NAME = "accepted.json"
MOST = 20_000  # files; the least recently used ones are forgotten
_FIELDS = 4  # name, version, architecture, SHA-256


class Accepted:
    """The record in the agent's own directory; for root alone."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / NAME
        self._lines = self._load()
        self._index = _by_package(self._lines)

    def _load(self) -> dict[str, None]:
        """One line for each file, the last used one last; empty if the record can't be read."""
        try:
            found = (files.read_json(self._path) or {}).get("files")
        except ValueError:
            return {}
        lines = found if isinstance(found, list) else []
        return dict.fromkeys(line for line in lines if isinstance(line, str) and len(line.split(" ")) == _FIELDS)

    def of(self, name: str, version: str, arch: str) -> frozenset[str]:
        """The SHA-256 of each accepted file of exactly this package."""
        return frozenset(self._index.get(f"{name} {version} {arch}", ()))

    def add(self, found: Iterable[tuple[str, str, str, str]]) -> None:
        """Keep (name, version, architecture, SHA-256) of each. Raises OSError."""
        lines = [" ".join(one) for one in found]
        if all(line in self._lines for line in lines):
            return
        for line in lines:
            self._lines.pop(line, None)
            self._lines[line] = None
        self._lines = dict.fromkeys(list(self._lines)[-MOST:])
        self._index = _by_package(self._lines)
        files.keep_json(self._path, {"files": list(self._lines)})


def _by_package(lines: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in lines:
        package, _, sha256 = line.rpartition(" ")
        found.setdefault(package, []).append(sha256)
    return found
