"""Mends entries of the local database that a pacman was cut off while writing. It must not run pacman.

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

from . import database_lock, files, local_db
from .errors import Busy
from .local_db import Installed, LocalPackage
from .package_file import PackageFile


@contextlib.contextmanager
def locked(dbpath: Path) -> Iterator[None]:
    """Hold pacman's own lock. Raises Busy when somebody else does."""
    path = database_lock.path_of(dbpath)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o000)
    except FileExistsError:
        raise Busy(
            "database_locked", f"{path} is there: another pacman is at work.", "Wait for it to finish."
        ) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def mend_entries(
    dbpath: Path,
    installed: Installed,
    *,
    newcomers: Collection[str],
    find: Callable[[LocalPackage], Optional[PackageFile]],
) -> None:
    """Complete the broken entries from their package files, so that pacman can replace or remove them.

    Entries of `newcomers` are dropped instead: pacman then installs them as for the first time, scriptlets included.
    """
    broken = [package for package in installed.values() if package.broken]
    if not broken:
        return
    with locked(dbpath):
        for package in broken:
            directory = dbpath / "local" / f"{package.name}-{package.version}"
            file = None if package.name in newcomers else find(package)
            if file is None:
                shutil.rmtree(directory)
            else:
                _complete(directory, package, file)


def complete_entry(dbpath: Path, package: LocalPackage, file: PackageFile) -> None:
    """Complete one broken entry from its package file. Raises Busy, OSError."""
    with locked(dbpath):
        _complete(dbpath / "local" / f"{package.name}-{package.version}", package, file)


def _complete(directory: Path, package: LocalPackage, file: PackageFile) -> None:
    """What pacman needs to replace the package; the entry counts as incomplete until it has done that."""
    lists = {"DEPENDS": file.depends, "PROVIDES": file.provides, "CONFLICTS": file.conflicts, "GROUPS": file.groups}
    blocks = [
        f"%NAME%\n{file.name}\n",
        f"%VERSION%\n{file.version}\n",
        f"%BASE%\n{file.name}\n",
        f"%ARCH%\n{file.arch}\n",
    ]
    blocks += ["%REASON%\n1\n"] if package.reason == DEPENDENCY else []
    blocks += [f"%{key}%\n" + "".join(f"{word}\n" for word in words) for key, words in lists.items() if words]
    names = sorted(_file_list(file.path), key=os.fsencode)
    if names != _present_list(directory):  # an intact one also says which configuration files the package installed
        listed = "".join(f"{name}\n" for name in names)
        text = f"%FILES%\n{listed}\n".encode(errors="surrogateescape")
        files.write_atomically(directory / "files", text, mode=0o644)
    files.write_atomically(directory / "desc", "".join(f"{block}\n" for block in blocks).encode(), mode=0o644)


def _file_list(path: Path) -> Iterator[str]:
    for entry, _ in archive.entries(path):
        if not entry.name.startswith("."):
            yield f"{entry.name}/" if entry.isdir() else entry.name


def _present_list(directory: Path) -> Optional[list[str]]:
    """What the entry's own list has, in the same order; None where there is none that can be read."""
    try:
        return sorted(local_db.read_files(directory)[0], key=os.fsencode)
    except OSError:
        return None
