"""How much room there is for downloads, and the refusal where there isn't enough. It must not know what is downloaded.

Sizes that another machine declares must not fill this disk: a reserve is left for all other writers.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from ..errors import Refused
from ..terminal.output import human_bytes

RESERVE = 1 << 30  # bytes that downloads leave free, or
SHARE = 20  # this part of the file system, if that is less


class Full(OSError):
    """The reserve is reached in the middle of a download."""

    def __init__(self, directory: Path) -> None:
        super().__init__(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.directory = directory


def free(path: Path) -> int:
    """Free bytes on the file system of `path`, or of the nearest directory above it that exists."""
    return shutil.disk_usage(_existing(path)).free


def for_downloads(path: Path) -> int:
    """Bytes that downloads may take there: the free bytes minus the reserve."""
    known = shutil.disk_usage(_existing(path))
    return max(0, known.free - min(RESERVE, known.total // SHARE))


def check(directory: Path, needed: int) -> None:
    """Raise Refused (`disk_full`) when the downloads would take more than they may."""
    room = for_downloads(directory)
    if needed > room:
        raise Refused(
            "disk_full",
            f"The downloads need {human_bytes(needed)}, and {directory} has {human_bytes(room)} for them (a reserve "
            "stays free).",
            "Free some space, for example with `paccache -r`.",
        )


def full(directory: Path) -> Refused:
    """The refusal of downloads that have reached the reserve."""
    return Refused(
        "disk_full",
        f"{directory} has {human_bytes(free(directory))} left, which is the reserve that downloads leave free.",
        "Free some space, for example with `paccache -r`.",
    )


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
