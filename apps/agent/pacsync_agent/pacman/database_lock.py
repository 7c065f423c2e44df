"""Which process holds pacman's database lock. It must not know why.

libalpm keeps `db.lck` open for as long as it holds the lock, so a lock file that no process has open is stale.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Optional


def path_of(dbpath: Path) -> Path:
    return dbpath / "db.lck"


def is_locked(dbpath: Path) -> bool:
    return path_of(dbpath).exists()


def holder(dbpath: Path) -> Optional[int]:
    """The pid of a process that has the lock file open, or None (only root sees every process)."""
    try:
        wanted = path_of(dbpath).stat()
    except FileNotFoundError:
        return None
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return next((pid for pid in pids if is_open_in(pid, wanted)), None)


def is_open_in(pid: int, wanted: os.stat_result) -> bool:
    """Whether that process has the file open."""
    try:
        handles = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # it ended, or it is another user's
        return False
    for handle in handles:
        try:
            found = os.stat(f"/proc/{pid}/fd/{handle}")
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            return True
    return False


def wait_until_free(dbpath: Path, seconds: float) -> None:
    """Wait until the lock file or its holder is gone, or `seconds` have passed."""
    deadline = time.monotonic() + seconds
    while is_locked(dbpath) and holder(dbpath) is not None and time.monotonic() < deadline:
        time.sleep(0.25)


def remove_if_stale(dbpath: Path) -> bool:
    """Remove a lock file that nobody holds; True if one was removed. Only for a lock known to be ours."""
    if not is_locked(dbpath) or holder(dbpath) is not None:
        return False
    path_of(dbpath).unlink(missing_ok=True)
    return True


def held_by_ancestor(dbpath: Path) -> bool:
    """Whether this process runs inside a pacman hook: one of its ancestors holds the lock."""
    pid = holder(dbpath)
    current = os.getpid()
    while pid is not None and current > 1:
        if current == pid:
            return True
        current = _parent(current)
    return False


def _parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])
