"""Whether a lock of pacman's database is the very one that the agent, or its own pacman, made.

What is known of it lies on the disk while that pacman runs, because the agent may die first. It must not know why a
lock is in the way, nor remove one.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from . import boot, database_lock, files

REFUSED = "unable to lock database"


class OwnLock:
    """What is known of the lock of the pacman that is being run; `log` is where that pacman says what it does."""

    def __init__(self, directory: Path, log: Path) -> None:
        self.path = directory / "pacman-lock.json"
        self.log = log

    def begin(self) -> None:
        """Right before pacman starts, when there is no lock."""
        files.write_json(self.path, {"boot": boot.current()})

    def note(self, lock: os.stat_result) -> None:
        """Remember the lock that the agent itself makes."""
        files.write_json(self.path, {"lock": _identity(lock)})

    def see(self, dbpath: Path, shell: int) -> bool:
        """Remember the lock once the pacman that the process `shell` started has it; True when it is remembered."""
        with contextlib.suppress(OSError, ValueError):
            found = os.stat(database_lock.path_of(dbpath))
            children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
            if any(database_lock.is_open_in(int(pid), found) for pid in children):
                self.note(found)
                return True
        return False

    def is_there(self, dbpath: Path, *, seen: bool = False) -> bool:
        """Whether the lock that is there now is that one; also after a reboot, which its inode and time survive.

        `seen`: only by inode and time. What follows is said of a pacman that nothing has been done after, and no other.

        Where the agent died before it saw the lock, pacman's own words tell: it says something only when it has the
        lock, so that a lock which is older than its last words, and not older than its start, is its own. After a
        reboot its words may be lost; then a lock that was made after its start and before this boot is nobody's.
        """
        with contextlib.suppress(OSError, ValueError):
            known: dict[str, Any] = files.read_json(self.path) or {}
            found = os.stat(database_lock.path_of(dbpath))
            if "lock" in known:
                return bool(known["lock"] == _identity(found))
            if seen:
                return False
            said = self.log.read_bytes()
            began, spoke = self.path.stat().st_mtime_ns, self.log.stat().st_mtime_ns
            if REFUSED.encode() in said or found.st_mtime_ns < began:
                return False
            if known.get("boot") == boot.current():
                return bool(said) and found.st_mtime_ns <= spoke
            return bool(known.get("boot")) and found.st_mtime_ns < boot.began() * 10**9
        return False


def _identity(found: os.stat_result) -> list[int]:
    """A removed file's inode number is given to another file soon, so the time belongs to it. Device numbers change."""
    return [found.st_ino, found.st_mtime_ns]
