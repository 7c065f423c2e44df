"""What is installed, read straight from pacman's local database. It must not run pacman or change anything.

`pacman -Q` shows neither the architecture nor the install reason; the files show all. A file that has not changed since
this process read it is not read again.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from apps.fleet.alpm import desc, state
from apps.fleet.alpm.state import DEPENDENCY, EXPLICIT, InstalledPackage

from ..errors import Local


@dataclass(frozen=True)
class LocalPackage:
    """One entry of the local database. `size` in bytes.

    `broken`: pacman was cut off while it wrote the entry. `incomplete`: the agent wrote it (entry_repair.py), with only
    what pacman needs to replace the package; an entry that pacman wrote always has an install date.
    """

    name: str
    version: str
    arch: str
    reason: str
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    size: int = 0
    broken: bool = False
    incomplete: bool = False

    def as_installed(self) -> InstalledPackage:
        return InstalledPackage(self.name, self.version, self.arch, self.reason)


LOOK = "Look at it with `pacman -Dk`, and put the entry right that it names."
Installed = dict[str, LocalPackage]
_Stamp = tuple[int, int, int, int, int, bool]
_SECOND = 1_000_000_000  # nanoseconds
# For so long the clock of a file system may stand: a second change within this time may not show in the file's times.
_STEP, _COARSE_STEP = _SECOND // 10, 2 * _SECOND
_known: dict[str, dict[str, tuple[_Stamp, LocalPackage]]] = {}
"""What was read of each database, by its path and the name of the entry."""


def read(dbpath: Path) -> Installed:
    """Every installed package by name. Raises Local when the database is missing or can't be read.

    The first entry counts where a package has two. A directory that can't be an entry (lost+found) is skipped, as
    pacman does.
    """
    local = str(dbpath / "local")
    before, now = _known.pop(local, {}), time.time_ns()
    packages: Installed = {}
    known: dict[str, tuple[_Stamp, LocalPackage]] = {}
    try:
        for name, entries in _entries(dbpath).items():
            entry = entries[0]
            directory = f"{local}/{entry}"
            stamp, found = _stamp(directory), before.get(entry)
            if stamp is None or found is None or found[0] != stamp:
                packages[name] = package = _read_entry(directory, entry)
                if stamp and shows_changes(stamp[4], now):
                    known[entry] = stamp, package
            else:
                packages[name] = found[1]
                known[entry] = found
        _known[local] = known
    except FileNotFoundError:
        raise Local(
            "pacman_database_missing",
            f"There is no pacman database in {dbpath}.",
            "Name the right one with --config, --root or --dbpath.",
        ) from None
    except (OSError, ValueError) as error:
        raise Local(
            "pacman_database_unreadable", f"The pacman database in {dbpath} can't be read: {error}.", LOOK
        ) from None
    return packages


def duplicates(dbpath: Path) -> dict[str, list[str]]:
    """The entries of each package that has more than one. pacman may use either. Raises OSError."""
    return {name: entries for name, entries in _entries(dbpath).items() if len(entries) > 1}


def _entries(dbpath: Path) -> dict[str, list[str]]:
    """The directories of each package, sorted."""
    found: dict[str, list[str]] = {}
    for entry in sorted(entry.name for entry in os.scandir(dbpath / "local") if entry.is_dir()):
        with contextlib.suppress(ValueError):
            found.setdefault(desc.split_entry(entry)[0], []).append(entry)
    return found


def shows_changes(changed: int, now: int) -> bool:
    """Whether a file that changed last at `changed` gets another time by any change after `now`, both in nanoseconds.

    A file system that only has whole seconds is known by them.
    """
    return changed < now - (_STEP if changed % _SECOND else _COARSE_STEP)


def _stamp(directory: str) -> Optional[_Stamp]:
    """Changes with what `_read_entry` reads; None without a file. Raises OSError."""
    try:
        seen = os.stat(f"{directory}/desc")
    except FileNotFoundError:
        return None
    has_files = os.path.exists(f"{directory}/files")
    return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, has_files


def read_entry(directory: Path) -> LocalPackage:
    """The entry in that directory. Raises OSError, ValueError."""
    return _read_entry(str(directory), directory.name)


def _read_entry(directory: str, entry: str) -> LocalPackage:
    name, version = desc.split_entry(entry)
    try:
        with open(f"{directory}/desc", "rb", buffering=0) as file:
            text = file.readall().decode(errors="replace")
    except FileNotFoundError:
        text = ""
    values = desc.parse(text)
    size = values.get("SIZE", ["0"])[0]
    return LocalPackage(
        name=name,
        version=version,
        arch=values.get("ARCH", ["any"])[0],
        reason=DEPENDENCY if values.get("REASON", ["0"])[0] == "1" else EXPLICIT,
        provides=tuple(values.get("PROVIDES", ())),
        conflicts=tuple(values.get("CONFLICTS", ())),
        groups=tuple(values.get("GROUPS", ())),
        size=int(size) if size.isdigit() else 0,
        # pacman writes `desc` and then `files`, after the package's own files.
        broken="NAME" not in values or not os.path.exists(f"{directory}/files"),
        incomplete="INSTALLDATE" not in values,
    )


def read_files(entry: Path) -> tuple[list[str], set[str]]:
    """The files that an entry's package owns (a directory ends in /), and its configuration files. Raises OSError."""
    files: list[str] = []
    backup: set[str] = set()
    key = ""
    for line in (entry / "files").read_bytes().decode("utf-8", "surrogateescape").split("\n"):
        if line in {"%FILES%", "%BACKUP%"} or not line:
            key = line
        elif key == "%FILES%":
            files.append(line)
        elif key == "%BACKUP%":
            backup.add(line.rpartition("\t")[0])
    return files, backup


def text_of(packages: Iterable[InstalledPackage]) -> bytes:
    """The canonical state text. Raises Local where the packages can't be reported."""
    try:
        return state.to_text(packages)
    except ValueError as error:
        raise Local("state_unreportable", f"The installed packages can't be reported: {error}.", LOOK) from None


def state_text(installed: Installed) -> bytes:
    return text_of(package.as_installed() for package in installed.values())
