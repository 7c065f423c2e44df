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

from apps.fleet.alpm import desc

from . import files

# No package has the first name. With it, the conflict is told from those of the package itself.
_SIGN = b"\npacsync-transaction\n"
_BLOCK = re.compile(rb"%CONFLICTS%\npacsync-transaction\n[^\n]+\n\n")
# As pacman writes it where `pacman -D` was run meanwhile: among the package's own conflicts.
_LINES = re.compile(rb"(?<=\n)pacsync-transaction\n[^\n]+\n")
# pacman's answer to "Remove it?" when it may not ask; the number is ALPM_QUESTION_CONFLICT_PKG.
OPTIONS = ("--ask", "4")


def add(dbpath: Path, names: Iterable[str], word: str) -> None:
    """Let the installed packages `names` conflict with `word`, `name=version` of one that comes.

    Wants the lock where the database is the machine's. Raises OSError.
    """
    going = set(names)
    for path in _entries(dbpath):
        if desc.split_entry(path.parent.name)[0] in going:
            before = _without(path.read_bytes()) if path.exists() else b""
            block = b"%CONFLICTS%" + _SIGN + word.encode(errors="surrogateescape") + b"\n\n"
            files.write_atomically(path, before + block, mode=0o644)


def found(dbpath: Path) -> list[Path]:
    """The `desc` of each installed package that has such a conflict. Raises OSError."""
    return [path for path in _entries(dbpath) if path.exists() and _SIGN in path.read_bytes()]


def remove(paths: Iterable[Path]) -> None:
    """Take the conflicts out again; wants the lock. Raises OSError."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            files.write_atomically(path, _without(path.read_bytes()), mode=0o644)


def _entries(dbpath: Path) -> Iterator[Path]:
    for directory in (dbpath / "local").iterdir():
        with contextlib.suppress(ValueError):
            desc.split_entry(directory.name)
            if directory.is_dir():
                yield directory / "desc"


def _without(content: bytes) -> bytes:
    return _LINES.sub(b"", _BLOCK.sub(b"", content))
