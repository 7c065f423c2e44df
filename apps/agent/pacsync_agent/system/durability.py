"""Makes what pacman and its hooks wrote survive a power cut: flushes every file system beneath the root.

pacman flushes nothing. An fsync of the agent's journal would commit the names of pacman's files before their bytes
(ext4), so after a power cut they would be empty while the journal says that all is done. It must not know what was
written.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import Failed

_MOUNTS = Path("/proc/self/mountinfo")
_KINDS = Path("/proc/filesystems")
# On a disk, although /proc/filesystems lists them as without a device.
_ALSO_ON_DISK = {"overlay", "zfs", "bcachefs"}


def flush(root: Path, directories: Iterable[Path]) -> None:
    """Flush the file systems of these directories, and all disks that are mounted beneath `root`.

    Other file systems (networks, FUSE) are flushed only where they hold one of the directories: another one may not
    answer. Raises Failed when a disk doesn't accept the data.
    """
    done: set[int] = set()
    for path in (root, *directories, *_mounted_beneath(root)):
        _flush(path, done)


def _mounted_beneath(root: Path) -> list[Path]:
    try:
        mounts, kinds = _MOUNTS.read_bytes(), _KINDS.read_text()
    except OSError:
        return []
    on_disk = _ALSO_ON_DISK | {line.strip() for line in kinds.splitlines() if not line.startswith("nodev")}
    within = os.fsencode(os.path.realpath(root)).rstrip(b"/") + b"/"
    found = []
    for line in mounts.splitlines():
        place, _, rest = line.partition(b" - ")
        path = _unescaped(place.split()[4])
        if path.startswith(within) and rest.split()[0].decode(errors="replace") in on_disk:
            found.append(Path(os.fsdecode(path)))
    return found


def _unescaped(word: bytes) -> bytes:
    """mountinfo writes blanks and backslashes of a path as \\ooo."""
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match.group(1), 8)]), word)


def _flush(path: Path, done: set[int]) -> None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    except OSError:  # not there, or unmounted in the meantime
        return
    try:
        device = os.fstat(handle).st_dev
        if device not in done:
            done.add(device)
            _syncfs(handle)
    except OSError as error:
        raise Failed(
            "write_failed",
            f"The disk of {path} didn't take what pacman wrote: {error.strerror}.",
            "Look at the kernel's log (`dmesg`) and at the disk. Once it takes writes again, run "
            "`pacsync-agent sync --repair`.",
        ) from None
    finally:
        os.close(handle)


def _syncfs(handle: int) -> None:
    """syncfs(2), which Python doesn't have. Raises OSError."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        os.sync()
    elif call(handle) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
