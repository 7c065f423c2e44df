"""Removes packages in the transaction that installs others: they get a conflict with a package that comes.

The pacman command installs or removes, not both. libalpm does both, and a conflict asks for it without a change of a
repository entry or a package file. libalpm 7 refuses a package whose file and entry differ
in dependencies, conflicts, replacements, provisions, groups or size (sync.c, check_pkg_matches_db). Which of the two
packages names the other doesn't matter (conflict.c, _alpm_outerconflicts). So the conflict is added to the local
database entries of the packages that go, and goes with them. Where they stay, it is removed again.

It must not know the plan or run pacman.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..databases.local_db import Installed, LocalPackage
from ..system import files

# No package has this name, so it marks the conflicts that the agent added.
_SIGN = "pacsync-transaction"
_BLOCK = re.compile(rb"%CONFLICTS%\npacsync-transaction\n[^\n]+\n\n")
# As pacman writes it where `pacman -D` was run meanwhile: among the package's own conflicts.
_LINES = re.compile(rb"(?<=\n)pacsync-transaction\n[^\n]+\n")
# pacman's answer to "Remove it?" when it may not ask; the number is ALPM_QUESTION_CONFLICT_PKG.
OPTIONS = ("--ask", "4")


def add(dbpath: Path, packages: Iterable[LocalPackage], word: str) -> None:
    """Let these installed packages conflict with `word`, `name=version` of a package that comes.

    Needs the lock where the database is the machine's. Raises OSError.
    """
    for path in _entries(dbpath, packages):
        before = _without(path.read_bytes()) if path.exists() else b""
        block = f"%CONFLICTS%\n{_SIGN}\n{word}\n\n".encode(errors="surrogateescape")
        files.write_atomically(path, before + block, mode=0o644)


def among(installed: Installed) -> list[LocalPackage]:
    """The installed packages with such a conflict."""
    return [package for package in installed.values() if _SIGN in package.conflicts]


def remove(dbpath: Path, packages: Iterable[LocalPackage]) -> None:
    """Remove the conflicts again; needs the lock. Raises OSError."""
    for path in _entries(dbpath, packages):
        with contextlib.suppress(FileNotFoundError):
            files.write_atomically(path, _without(path.read_bytes()), mode=0o644)


def _entries(dbpath: Path, packages: Iterable[LocalPackage]) -> Iterator[Path]:
    for package in packages:
        yield dbpath / "local" / f"{package.name}-{package.version}" / "desc"


def _without(content: bytes) -> bytes:
    return _LINES.sub(b"", _BLOCK.sub(b"", content))
