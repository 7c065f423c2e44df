"""Has packages removed in the transaction that installs others: what goes conflicts with something that comes.

The pacman command installs or removes, not both; libalpm does both, and a conflict is the way to say it that neither an
entry of a repository nor a package file has to be changed for. libalpm 7 refuses a package whose file and entry differ
in dependencies, conflicts, replacements, provisions, groups or size (sync.c, check_pkg_matches_db). Which of the two
packages names the other doesn't matter (conflict.c, _alpm_outerconflicts). So the conflict is added to the entries in
the local database of those that go, and goes with them. Where they stay after all, it is taken out again.

It must not know the plan, nor run pacman.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import files
from .local_db import Installed, LocalPackage

# No package has this name. With it, the conflict is told from those of the package itself.
_SIGN = "pacsync-transaction"
_BLOCK = re.compile(rb"%CONFLICTS%\npacsync-transaction\n[^\n]+\n\n")
# As pacman writes it where `pacman -D` was run meanwhile: among the package's own conflicts.
_LINES = re.compile(rb"(?<=\n)pacsync-transaction\n[^\n]+\n")
# pacman's answer to "Remove it?" when it may not ask; the number is ALPM_QUESTION_CONFLICT_PKG.
OPTIONS = ("--ask", "4")


def add(dbpath: Path, packages: Iterable[LocalPackage], word: str) -> None:
    """Let these installed packages conflict with `word`, `name=version` of one that comes.

    Wants the lock where the database is the machine's. Raises OSError.
    """
    for path in _entries(dbpath, packages):
        before = _without(path.read_bytes()) if path.exists() else b""
        block = f"%CONFLICTS%\n{_SIGN}\n{word}\n\n".encode(errors="surrogateescape")
        files.write_atomically(path, before + block, mode=0o644)


def among(installed: Installed) -> list[LocalPackage]:
    """The installed packages that have such a conflict."""
    return [package for package in installed.values() if _SIGN in package.conflicts]


def remove(dbpath: Path, packages: Iterable[LocalPackage]) -> None:
    """Take the conflicts out again; wants the lock. Raises OSError."""
    for path in _entries(dbpath, packages):
        with contextlib.suppress(FileNotFoundError):
            files.write_atomically(path, _without(path.read_bytes()), mode=0o644)


def _entries(dbpath: Path, packages: Iterable[LocalPackage]) -> Iterator[Path]:
    for package in packages:
        yield dbpath / "local" / f"{package.name}-{package.version}" / "desc"


def _without(content: bytes) -> bytes:
    return _LINES.sub(b"", _BLOCK.sub(b"", content))
