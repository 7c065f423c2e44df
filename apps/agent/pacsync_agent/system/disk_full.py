"""A full file system, in bytes or in inodes: recognizes it among other failures, and describes it in one line.

It must not know what was to be written. An operation that needs the room is refused; a mere cache is not written, so
that a machine with a full disk continues to report.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Optional

from ..errors import AgentError, Refused, of_system
from ..terminal.output import human_bytes

ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
LEAST_BYTES, LEAST_INODES = 1 << 20, 20  # bytes for the journal and pacman's output
HINT = "Free some room there, then run the command again. What the server has asked for is tried again automatically."


def is_it(error: BaseException) -> bool:
    """Whether the error is lack of room, even inside one of shutil's, which contain many."""
    if isinstance(error, shutil.Error):
        return any(f"[Errno {number}]" in reason for reason in _reasons(error) for number in ERRNOS)
    return isinstance(error, OSError) and error.errno in ERRNOS


def _reasons(error: shutil.Error) -> Iterator[str]:
    """The system's message for each file."""
    entries: Any = error.args[0] if error.args else ()
    for entry in entries if isinstance(entries, list) else (entries,):
        yield str(entry[-1] if isinstance(entry, tuple) and entry else entry)


def as_agent_error(error: OSError, directories: Iterable[Path] = ()) -> AgentError:
    """The error as one line. `directories`: where it may have happened, if the error doesn't say."""
    if is_it(error):
        named = [Path(str(error.filename)).parent] if error.filename else list(directories)
        return refusal(*named) if named else of_system(error)
    if isinstance(error, shutil.Error):
        reasons = list(_reasons(error))
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        return of_system(OSError(0, f"{reasons[0][:300] if reasons else 'unknown'}{more}"))
    return of_system(error)


def refusal(*directories: Path) -> Refused:
    """The refusal, with the directory that has the least room, and how much it has."""
    directory = min(directories, key=_scarcity)
    return Refused("disk_full", f"{directory} has no room: {figures(directory)}. Nothing was changed.", HINT)


def figures(directory: Path) -> str:
    """`12 KiB and 3 inodes are free`; without inodes where the file system doesn't count them."""
    found, inodes = free(directory)
    counted = "" if inodes is None else f" and {inodes} inode{'' if inodes == 1 else 's'}"
    return f"{human_bytes(found)}{counted} are free"


def free(directory: Path) -> tuple[int, Optional[int]]:
    """Free bytes and inodes (None if not counted) on the file system of the directory, or of the nearest above it."""
    known = os.statvfs(_existing(directory))
    return known.f_bavail * known.f_frsize, known.f_favail if known.f_files else None


def _scarcity(directory: Path) -> tuple[bool, int]:
    """A sort key: no inodes first, then fewest bytes."""
    found, inodes = free(directory)
    return inodes is None or inodes > 0, found


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def check(directory: Path, *, size: int, count: int, what: str) -> None:
    """Raise Refused (`disk_full`) where `count` files with `size` bytes in all don't fit. `what`: what they are for."""
    found, inodes = free(directory)
    if found < size or (inodes is not None and inodes < count):
        inodes_needed = [f"{count} inode{'' if count == 1 else 's'}"] if count and inodes is not None else []
        needed = " and ".join([*([human_bytes(size)] if size else []), *inodes_needed])
        raise Refused(
            "disk_full", f"{directory} has no room for {what}: {needed} are needed, {figures(directory)}.", HINT
        )


def spared(write: Callable[[], None]) -> bool:
    """Write a mere cache; False if there is no room for it. Raises OSError for anything else."""
    try:
        write()
    except OSError as error:
        if not is_it(error):
            raise
        return False
    return True
