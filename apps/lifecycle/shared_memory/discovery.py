"""Finds the running instances of this machine by their shared memory, without a file. Linux only.

It must not know what is done with them.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

from apps.lifecycle.shared_memory.memory import NAME, Memory


def instances() -> Iterator[tuple[int, Memory]]:
    """(pid of the master, its memory) of each instance whose memory this user may open."""
    seen = set()
    for pid in filter(str.isdigit, _listing("/proc")):
        for number in _listing(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{number}"
            with suppress(OSError, ValueError):
                if not os.readlink(path).startswith(f"/memfd:{NAME} "):
                    continue
                inode = os.stat(path).st_ino
                if inode not in seen:
                    seen.add(inode)
                    memory = Memory.attach(path)
                    yield memory.header.master, memory


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # the process ended, or is another user's
        return []
