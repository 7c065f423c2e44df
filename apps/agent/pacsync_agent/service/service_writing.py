"""Writes the files of the service, all of them or none: a failure must not leave half a service.

It must not know what is in the files or where they go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Optional

from ..errors import AgentError
from ..system import disk_full, files
from .systemd import Systemd


@contextlib.contextmanager
def all_or_nothing(texts: Mapping[Path, str], systemd: Systemd, unit: str) -> Iterator[set[Path]]:
    """Write the missing files and their directories; their paths. An exception in the block takes everything back.

    The block enables `unit`, so it is disabled again if it wasn't enabled before. Raises AgentError, which says what is
    left.
    """
    before: dict[Path, Optional[bytes]] = {}
    made: list[Path] = []
    was_enabled = systemd.is_enabled(unit)
    try:
        for path in texts:
            made += _make_directory(path.parent)
        for path, text in texts.items():
            content = _content(path)
            if content != text.encode():
                before[path] = content
                files.write_atomically(path, text.encode(), 0o644)
        yield set(before)
    except (AgentError, OSError) as error:
        failed = error if isinstance(error, AgentError) else disk_full.as_agent_error(error)
        if not texts:
            raise failed from None
        if before and not was_enabled:
            with contextlib.suppress(AgentError):
                systemd.try_to_run("disable", unit)
        left = [*_put_back(before), *_remove_directories(made)]
        if before and systemd.is_running:
            with contextlib.suppress(AgentError):
                systemd.try_to_run("daemon-reload")
        failed.message += f" The service is not installed; {_said(left)}."
        raise failed from None


def _content(path: Path) -> Optional[bytes]:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _make_directory(path: Path) -> list[Path]:
    """Make the directory and its parents; those that were missing, the uppermost first. Raises OSError."""
    if path.is_dir():
        return []
    above = _make_directory(path.parent) if path.parent != path else []
    try:
        path.mkdir()
    except OSError:
        _remove_directories(above)
        raise
    return [*above, path]


def _put_back(before: Mapping[Path, Optional[bytes]]) -> list[Path]:
    """Restore each file, or remove it; the paths of those where that failed."""
    left = []
    for path, content in before.items():
        try:
            if content is None:
                files.remove(path)
            else:
                files.write_atomically(path, content, 0o644)
        except OSError:
            if _content_differs(path, content):
                left.append(path)
    return left


def _content_differs(path: Path, content: Optional[bytes]) -> bool:
    try:
        return _content(path) != content
    except OSError:
        return True


def _remove_directories(made: Iterable[Path]) -> list[Path]:
    left = []
    for path in reversed([*made]):
        try:
            path.rmdir()
        except OSError:
            left.append(path)
    return left


def _said(left: list[Path]) -> str:
    return f"remove what is left of it: {', '.join(map(str, left))}" if left else "no file of it is left"
