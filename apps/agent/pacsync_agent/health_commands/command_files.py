"""Which health commands the machine has, and which files in their directory aren't run, and why.

They run in the order of their names, as those of greenboot's `required.d`. Root runs them, so nobody else may be able
to change them. It must not run them.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ..terminal.printable import printable

DIRECTORY = Path("etc/pacsync-agent.d/health")
# What editors and pacman leave next to a file. Names that begin with a dot don't count either.
_LEFT_BEHIND = ("~", ".pacnew", ".pacsave", ".pacorig")
_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


@dataclass(frozen=True)
class CommandFiles:
    """`commands` are paths, in the order in which they run; `ignored` has a clause for what isn't run, and why."""

    commands: tuple[Path, ...] = ()
    ignored: tuple[str, ...] = ()


def find(root: Path) -> CommandFiles:
    """The health commands of the machine beneath `root`; none if it has no such directory."""
    directory = root / DIRECTORY
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return CommandFiles()
    except OSError as error:
        return _nothing(directory, root, f"can't be read ({error.strerror})")
    for parent in (directory, directory.parent):
        why = _unsafe(parent, directory=True)
        if why and names:
            return _nothing(parent, root, why)
    commands, ignored = [], []
    for name in names:
        if name.startswith(".") or name.endswith(_LEFT_BEHIND):
            continue
        why = _unsafe(directory / name, directory=False)
        if why:
            ignored.append(printable(f"health command {name} wasn't run: it {why}", 300))
        else:
            commands.append(directory / name)
    return CommandFiles(tuple(commands), tuple(ignored))


def _nothing(path: Path, root: Path, why: str) -> CommandFiles:
    return CommandFiles(ignored=(printable(f"no health command was run: /{path.relative_to(root)} {why}", 300),))


def _unsafe(path: Path, *, directory: bool) -> str:
    """Why root shouldn't run it, or what is in it; empty if nothing speaks against it."""
    try:
        found = path.lstat()
    except OSError as error:
        return f"can't be looked at ({error.strerror})"
    if not (stat.S_ISDIR if directory else stat.S_ISREG)(found.st_mode):
        return f"is not a {'directory' if directory else 'regular file'}"
    if found.st_uid != 0:
        return "doesn't belong to root"
    if found.st_mode & _BY_OTHERS:
        return "can be changed by others than root"
    return "" if directory or found.st_mode & _EXECUTABLE else "is not executable"
