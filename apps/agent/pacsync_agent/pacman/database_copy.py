"""The copy of pacman's local database for a rehearsal: in memory where there is room, else in the agent's directory.

The flush after a transaction would write a copy to the disk that is removed a moment later. It must not know what is
rehearsed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path

from ..system import disk_full
from . import lock_check

# Everybody may write to the second one.
IN_MEMORY = (Path("/run"), Path("/dev/shm"))  # noqa: S108 - a directory there that is somebody else's isn't used
SHARE = 4  # the copy takes no more than this part of what is free there
_NOT_NEEDED = {"mtree", "install", "changelog"}
_BLOCK = 128 << 10  # bytes
_WHAT = "the rehearsal on a copy of pacman's database"


@dataclass
class _Content:
    """Directories, parents first, and files, all relative to the database; `size` is in bytes, in whole blocks."""

    directories: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def count(self) -> int:
        return len(self.directories) + len(self.files)


def make(dbpath: Path, directory: Path) -> Path:
    """Copy the local database, without sync databases. Returns where `db`, `root` and `hooks` (both empty) are.

    `directory` is made as well, empty, for what belongs to the rehearsal. Raises Refused (`disk_full`), OSError.
    """
    remove(directory)
    content = _Content()
    _read(f"{dbpath}/local", "", content)
    # The journal and the transaction's repository are there in any case.
    disk_full.check(directory.parent, size=disk_full.LEAST_BYTES, count=disk_full.LEAST_INODES, what=_WHAT)
    directory.mkdir(mode=0o755)
    for place in _in_memory(directory):
        if not (_has_room(place.parent, content) and _is_made(place)):
            continue
        try:
            return _fill(place, dbpath, content)
        except OSError as error:
            shutil.rmtree(place, ignore_errors=True)
            if not disk_full.is_it(error):
                raise
    size, count = disk_full.LEAST_BYTES + content.size, disk_full.LEAST_INODES + content.count
    disk_full.check(directory.parent, size=size, count=count, what=_WHAT)
    return _fill(directory, dbpath, content)


def remove(directory: Path) -> None:
    """Remove the copy of that directory, and the directory."""
    shutil.rmtree(directory, ignore_errors=True)
    for place in _in_memory(directory):
        try:
            seen = os.lstat(place)
        except OSError:
            continue
        if stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid():
            shutil.rmtree(place, ignore_errors=True)


def _in_memory(directory: Path) -> list[Path]:
    """Where its copy may be in memory: the same places for every agent, so that the next one removes what is left."""
    key = hashlib.sha256(os.fsencode(os.path.realpath(directory))).hexdigest()[:16]
    return [place / f"pacsync-rehearsal-{key}" for place in IN_MEMORY]


def _has_room(place: Path, content: _Content) -> bool:
    if lock_check.file_system(place) != "tmpfs":
        return False
    size, inodes = disk_full.free(place)
    return size >= content.size * SHARE and (inodes is None or inodes >= content.count * SHARE)


def _is_made(place: Path) -> bool:
    try:
        place.mkdir(mode=0o700)
    except OSError:  # read-only, or somebody else was there before
        return False
    return True


def _read(local: str, path: str, content: _Content) -> None:
    with os.scandir(f"{local}/{path}") as entries:
        for entry in entries:
            name = f"{path}{entry.name}"
            if entry.is_dir():
                content.directories.append(name)
                _read(local, f"{name}/", content)
            elif entry.name not in _NOT_NEEDED and entry.is_file():
                content.files.append(name)
                content.size += -(-entry.stat().st_size // 4096) * 4096


def _fill(place: Path, dbpath: Path, content: _Content) -> Path:
    for name in ("root", "hooks", "db", "db/local"):
        (place / name).mkdir(mode=0o755)
    source, target = f"{dbpath}/local", f"{place}/db/local"
    for path in content.directories:
        os.mkdir(f"{target}/{path}", 0o755)
    for path in content.files:
        _copy(f"{source}/{path}", f"{target}/{path}")
    return place


def _copy(source: str, target: str) -> None:
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            while data := os.read(reading, _BLOCK):
                while data:
                    data = data[os.write(writing, data) :]
        finally:
            os.close(writing)
    finally:
        os.close(reading)
