"""Whether a lock of pacman's database was made by the agent or by a pacman that it started.

The record of the lock is on the disk while that pacman runs, because the agent may die first. It must not know why a
lock is in the way or remove one.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from ..system import boot_id, files
from . import database_lock

REFUSED = "unable to lock database"


class OwnLock:
    """The record of the running pacman's lock; `log` is the file with that pacman's output."""

    def __init__(self, directory: Path, log: Path) -> None:
        self.path = directory / "pacman-lock.json"
        self.log = log

    def begin(self) -> None:
        """Note that pacman is about to start; there is no lock yet."""
        files.write_json(self.path, {"boot": boot_id.current()})

    def note(self, lock: os.stat_result) -> None:
        """Record this lock."""
        files.write_json(self.path, {"lock": _identity(lock)})

    def see(self, dbpath: Path, shell: int) -> bool:
        """Record the lock once the pacman that the process `shell` started holds it; True when it is recorded."""
        with contextlib.suppress(OSError, ValueError):
            found = os.stat(database_lock.path_of(dbpath))
            children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
            if any(database_lock.is_open_in(int(pid), found) for pid in children):
                self.note(found)
                return True
        return False

    def is_there(self, dbpath: Path, *, seen: bool = False) -> bool:
        """Whether the existing lock is the recorded one, by inode and time; both survive a reboot.

        `seen`: only that. The rest holds only right after that pacman, before anything else was done.

        Where the agent died before it saw the lock, pacman's output decides: pacman prints only while it holds the
        lock, so a lock from between its start and its last output is its own. After a reboot the output may be lost:
        then a lock from between its start and this boot has no living owner.
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
            if known.get("boot") == boot_id.current():
                return bool(said) and found.st_mtime_ns <= spoke
            return bool(known.get("boot")) and found.st_mtime_ns < boot_id.began() * 10**9
        return False


def _identity(found: os.stat_result) -> list[int]:
    """A removed file's inode number is given to another file soon, so the time belongs to it. Device numbers change."""
    return [found.st_ino, found.st_mtime_ns]
