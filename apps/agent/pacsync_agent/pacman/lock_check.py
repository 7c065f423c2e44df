"""Says what is known about a lock on pacman's database, and what to do about it. It must not remove one.

A process that can't be seen from here may hold it: in another pid namespace, or on another machine with the same file
system.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..errors import Busy
from . import database_lock
from .configuration import PacmanConf

HOST_NAMESPACE = 0xEFFFFFFC  # the inode of the first pid namespace: PROC_PID_INIT_INO of the kernel
SHARED = ("nfs", "cifs", "smb", "9p", "virtiofs", "ceph", "gluster", "lustre", "ocfs2", "gfs", "afs", "fuse.")


def check_unlocked(conf: PacmanConf) -> None:
    """Raise Busy (`database_locked`) while the database is locked, by whatever process."""
    if not database_lock.is_locked(conf.dbpath):
        return
    path = database_lock.path_of(conf.dbpath)
    pid = database_lock.holder(conf.dbpath)
    if pid is not None:
        raise Busy("database_locked", f"Another pacman (process {pid}) is at work.", "Wait for it to finish.")
    look = "look at the machine with `pacman -Dk`, and let the last step be to remove the lock"
    reason = unseen(conf.dbpath)
    if reason:
        raise Busy(
            "database_locked",
            f"{path} is there: a pacman is at work, or one was cut off. Which of the two can't be seen from here: "
            f"{reason}.",
            "Look for a pacman on each system that uses this database, and wait for it to finish. Where there is none, "
            f"{look}.",
        )
    raise Busy(
        "database_locked",
        f"{path} is there, but no process holds it: a pacman was cut off, or somebody wants pacman to stay away.",
        f"Unless somebody put it there on purpose, {look}; then run the command again.",
    )


def problems(conf: PacmanConf) -> list[dict[str, Any]]:
    """A report's problem for a lock, unless the pacman holds it in whose hook this runs (its packages are in place)."""
    if not database_lock.is_locked(conf.dbpath) or database_lock.held_by_ancestor(conf.dbpath):
        return []
    text = "Its package database is locked: a pacman is at work there or was cut off, or somebody keeps pacman away. "
    return [{"code": "database_locked", "text": f"{text}What is installed may be half of something.", "names": []}]


def unseen(dbpath: Path) -> str:
    """Why the holder of the lock might be invisible from here; empty if it would be visible."""
    try:
        if os.stat("/proc/self/ns/pid").st_ino != HOST_NAMESPACE:
            return "this is a container, which has processes of its own"
    except OSError:
        return "/proc doesn't say whose processes it shows"
    kind = file_system(dbpath)
    if kind.startswith(SHARED):
        return f"other machines may use the file system ({kind}), too"
    return ""


def file_system(path: Path) -> str:
    """The type of the file system that the path is on; empty if it is unknown."""
    best, kind = -1, ""
    try:
        device = os.stat(path).st_dev
        for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
            left, _, right = line.partition(" - ")
            major, _, minor = left.split()[2].partition(":")
            point = left.split()[4]
            if (int(major), int(minor)) == (os.major(device), os.minor(device)) and len(point) > best:
                best, kind = len(point), right.split()[0]
    except (OSError, ValueError, IndexError):
        return ""
    return kind
