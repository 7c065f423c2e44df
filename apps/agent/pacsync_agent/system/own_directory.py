"""Finds the agent's own directory of a machine, even after its pacman database was moved. It must not know its files.

Each database of a root has a directory of its own, so that two machines on one host never share one. If DBPath changed
since the enrolment, and the old database is gone, it is the same machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Optional

from . import files

CREDENTIALS = "credentials.json"
RECORD = "database.json"


def find(root: Path, dbpath: Path) -> Path:
    """The usual directory for this database, or that of a database that was moved here."""
    usual, real = _usual(root, dbpath), os.path.realpath(dbpath)
    if _is_enrolled(usual):
        return usual
    moved = [
        path
        for path in sorted((root / "var/lib").glob("pacsync-agent*"))
        if path != usual and _is_enrolled(path) and (_recorded(path) == real or _lost_its_database(path, root))
    ]
    return moved[0] if len(moved) == 1 else usual


def remember(directory: Path, dbpath: Path) -> None:
    """Record the directory's database. Raises OSError."""
    real = os.path.realpath(dbpath)
    if _recorded(directory) != real:
        files.write_json(directory / RECORD, {"dbpath": real}, mode=0o644)


def _usual(root: Path, dbpath: Path) -> Path:
    directory = root / "var/lib/pacsync-agent"
    if os.path.realpath(dbpath) == os.path.realpath(root / "var/lib/pacman"):
        return directory
    suffix = hashlib.sha256(os.path.realpath(dbpath).encode()).hexdigest()[:8]
    return directory.with_name(f"pacsync-agent-{suffix}")


def _is_enrolled(directory: Path) -> bool:
    with contextlib.suppress(OSError):
        return (directory / CREDENTIALS).exists()
    return False


def _lost_its_database(directory: Path, root: Path) -> bool:
    known = _recorded(directory)
    if known is None and directory.name == "pacsync-agent":
        known = str(root / "var/lib/pacman")
    return known is not None and not os.path.isdir(os.path.join(known, "local"))


def _recorded(directory: Path) -> Optional[str]:
    try:
        value = (files.read_json(directory / RECORD) or {}).get("dbpath")
    except (OSError, ValueError):
        return None
    return value if isinstance(value, str) else None
