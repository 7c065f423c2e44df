"""Repairs entries of the local database that a cut-off pacman left incomplete. It must not run pacman.

pacman removes the old entry, unpacks the files, and writes the new entry last. Cut off in between there is a directory
without `desc`, and no pacman command gets past it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Optional

from apps.fleet.alpm import archive
from apps.fleet.alpm.state import DEPENDENCY

from ..errors import Busy
from ..packages.package_file import PackageFile
from ..pacman import database_lock
from ..pacman.own_lock import OwnLock
from ..system import files
from . import local_db, local_files
from .local_db import Installed, LocalPackage


@contextlib.contextmanager
def locked(dbpath: Path, own: OwnLock) -> Iterator[None]:
    """Hold pacman's own lock; `own` records it before it exists. Raises Busy when somebody else holds it."""
    path = database_lock.path_of(dbpath)
    try:
        handle = _make(path, own)
    except FileExistsError:
        raise Busy(
            "database_locked", f"{path} is there: another pacman is at work.", "Wait for it to finish."
        ) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _make(path: Path, own: OwnLock) -> int:
    """The lock, open. It is recorded before it gets its name, so that a crash never leaves an unknown lock."""
    if path.exists():  # the record of a lock that a killed pacman left must not be overwritten
        raise FileExistsError
    try:
        handle = os.open(path.parent, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o000)
    except OSError:  # a file system without files that have no name
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o000)
        own.note(os.fstat(handle))
        return handle
    try:
        own.note(os.fstat(handle))
        # The descriptor doesn't matter to an absolute path, but with it Python follows the link.
        os.link(f"/proc/self/fd/{handle}", path, src_dir_fd=handle)
    except BaseException:
        os.close(handle)
        raise
    return handle


def repair_entries(
    dbpath: Path,
    installed: Installed,
    *,
    newcomers: Collection[str],
    find: Callable[[LocalPackage], Optional[PackageFile]],
    own: OwnLock,
) -> None:
    """Complete the broken entries from their package files, so that pacman can replace or remove them.

    Entries of `newcomers` are dropped instead: pacman then installs them as for the first time, scriptlets included.
    """
    broken = [package for package in installed.values() if package.broken]
    if not broken:
        return
    # The slow part comes before the lock.
    found = [(package, None if package.name in newcomers else find(package)) for package in broken]
    entries = [(package, _entry(package, file) if file else None) for package, file in found]
    with locked(dbpath, own):
        for package, entry in entries:
            _repair(dbpath, package, entry)


def complete_entry(dbpath: Path, package: LocalPackage, file: PackageFile, *, own: OwnLock) -> None:
    """Complete one broken entry from its package file. Raises Busy, OSError."""
    entry = _entry(package, file)
    with locked(dbpath, own):
        _repair(dbpath, package, entry)


def _repair(dbpath: Path, package: LocalPackage, entry: Optional[dict[str, bytes]]) -> None:
    """Write the files of the entry, or drop it (None), under the lock. pacman may have run before we had the lock."""
    directory = dbpath / "local" / f"{package.name}-{package.version}"
    if not directory.is_dir() or not local_db.read_entry(directory).broken:
        return
    if entry is None:
        shutil.rmtree(directory)
    for name, content in (entry or {}).items():
        # An intact list also says which configuration files the package installed.
        if name != "files" or sorted(local_files.of(dbpath, directory.name)) != local_files.paths(content):
            files.write_atomically(directory / name, content, mode=0o644)


def _entry(package: LocalPackage, file: PackageFile) -> dict[str, bytes]:
    """The files of the entry, with what pacman needs to replace the package. The last, `desc`, makes it whole."""
    lists = {"DEPENDS": file.depends, "PROVIDES": file.provides, "CONFLICTS": file.conflicts, "GROUPS": file.groups}
    blocks = [
        f"%NAME%\n{file.name}\n",
        f"%VERSION%\n{file.version}\n",
        f"%BASE%\n{file.name}\n",
        f"%ARCH%\n{file.arch}\n",
    ]
    blocks += ["%REASON%\n1\n"] if package.reason == DEPENDENCY else []
    blocks += [f"%{key}%\n" + "".join(f"{word}\n" for word in words) for key, words in lists.items() if words]
    listed = "".join(f"{name}\n" for name in sorted(_file_list(file.path), key=os.fsencode))
    return {
        "files": f"%FILES%\n{listed}\n".encode(errors="surrogateescape"),
        "desc": "".join(f"{block}\n" for block in blocks).encode(),
    }


def _file_list(path: Path) -> Iterator[str]:
    for entry, _ in archive.entries(path):
        if not entry.name.startswith("."):
            yield f"{entry.name}/" if entry.isdir() else entry.name
