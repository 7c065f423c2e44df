"""Compares the files of installed packages with the packages' .MTREE. It must not change anything.

NoExtract, NoUpgrade and configuration files are skipped: they are the admin's. A directory may be a link to one. Modes
are compared only of directories and of setuid and setgid files.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Optional

from ..databases import local_db
from ..databases.local_db import LocalPackage
from ..packages import mtree
from ..packages.mtree import Entry
from ..pacman.configuration import PacmanConf
from ..planning import plan

_KINDS = {"file": stat.S_ISREG, "dir": stat.S_ISDIR, "link": stat.S_ISLNK}
_SPECIAL = stat.S_ISUID | stat.S_ISGID


class Finding(NamedTuple):
    """One difference. `path` begins with / and is beneath the machine's root; `why` is a phrase for people.

    `is_mode`: only the permissions differ, and a reinstallation wouldn't change them.
    """

    package: str
    path: str
    why: str
    is_mode: bool = False

    def __str__(self) -> str:
        return f"{self.path} ({self.why})"


@dataclass(frozen=True)
class Since:
    """When a file needs no check of its content: `moment` is in seconds of the clock.

    A file that was changed later, with the package's size and time, was just unpacked from it. None: size and time are
    enough. `every`: read every file.
    """

    moment: Optional[float] = None
    every: bool = False


def compare(
    conf: PacmanConf,
    packages: Iterable[LocalPackage],
    *,
    since: Since = Since(),
    progress: Callable[[int], None] = lambda done: None,
) -> list[Finding]:
    """All differences, in the order of the packages; `progress` is called with the number of packages done.

    Raises OSError when the database can't be read."""
    found: list[Finding] = []
    aside = [patterns_of(conf, option) for option in ("NoExtract", "NoUpgrade")]
    for done, package in enumerate(packages, 1):
        found += _Package(conf, package, since, aside).findings()
        progress(done)
    return found


class _Package:
    """Compares one package."""

    def __init__(self, conf: PacmanConf, package: LocalPackage, since: Since, aside: list[list[str]]) -> None:
        self.package, self.since, self.aside = package, since, aside
        self.root = str(conf.root).rstrip("/")
        self.entry = conf.dbpath / "local" / f"{package.name}-{package.version}"

    def findings(self) -> list[Finding]:
        if self.package.broken:
            return [self._found("its entry in pacman's database is damaged")]
        files, backup = local_db.read_files(self.entry)
        try:
            known = {entry.path: entry for entry in self._mtree()}
        except mtree.MtreeError:
            return [self._found("its .MTREE in pacman's database is damaged")]
        if known and not files:
            return [self._found("its list of files in pacman's database is empty")]
        found = [self._found("its entry in pacman's database is incomplete")] if self.package.incomplete else []
        for name in files:
            path = name.rstrip("/")
            is_aside = path in backup or any(matches(patterns, name) for patterns in self.aside)
            why = "" if is_aside else self._differs(name, known.get(path))
            if why:
                found.append(Finding(self.package.name, f"{self.root}/{path}", why, why.startswith("mode ")))
        return found

    def _found(self, why: str) -> Finding:
        return Finding(self.package.name, str(self.entry), why)

    def _mtree(self) -> Iterable[Entry]:
        path = self.entry / "mtree"
        return mtree.read(path) if path.exists() else ()

    def _differs(self, name: str, entry: Optional[Entry]) -> str:
        """How the file differs; empty if it doesn't. Without an `entry`, only its existence counts."""
        path = f"{self.root}/{name.rstrip('/')}"
        try:
            return self._seen(name, path, os.lstat(path), entry)
        except (FileNotFoundError, NotADirectoryError):
            return "missing"
        except OSError as error:
            return f"unreadable: {error.strerror}"

    def _seen(self, name: str, path: str, seen: os.stat_result, entry: Optional[Entry]) -> str:
        is_directory = name.endswith("/")
        if is_directory and stat.S_ISLNK(seen.st_mode):
            return "" if os.path.isdir(path) else "a link that leads nowhere, not a directory"
        kind = entry.kind if entry else "dir" if is_directory else ""
        if kind in _KINDS and not _KINDS[kind](seen.st_mode):
            return f"not a {'directory' if kind == 'dir' else kind}"
        if entry is None:
            return ""
        return self._like(path, seen, entry)

    def _like(self, path: str, seen: os.stat_result, entry: Entry) -> str:
        if entry.kind == "link":
            return "" if not entry.link or os.readlink(path) == entry.link else "a link to another place"
        if entry.kind == "file":
            if entry.size is not None and seen.st_size != entry.size:
                return "empty" if seen.st_size == 0 else "another size"
            if self._needs_look(seen, entry) and not _has_content(path, entry):
                return "another content"
        mode = stat.S_IMODE(seen.st_mode)
        counts = entry.kind == "dir" or (entry.kind == "file" and ((entry.mode or 0) | mode) & _SPECIAL)
        if counts and entry.mode is not None and mode != entry.mode:
            return f"mode {mode:04o} instead of {entry.mode:04o}"
        return ""

    def _needs_look(self, seen: os.stat_result, entry: Entry) -> bool:
        if self.since.every or entry.time is None or int(seen.st_mtime) != entry.time:
            return True
        return self.since.moment is not None and seen.st_ctime < self.since.moment


def patterns_of(conf: PacmanConf, option: str) -> list[str]:
    """The patterns of NoExtract or NoUpgrade, the last one first."""
    return [word for key, value in reversed(conf.options) if key == option for word in reversed(value.split())]


def matches(patterns: list[str], path: str) -> bool:
    """Whether one of them matches: the first match decides, and `!` negates it."""
    for pattern in patterns:
        inverted = pattern.startswith("!")
        if plan.matching([path], [pattern[1:] if inverted or pattern.startswith("\\") else pattern]):
            return not inverted
    return False


def _has_content(path: str, entry: Entry) -> bool:
    """Whether the file has the checksum that the package gives; True if it gives none. Raises OSError."""
    wanted = entry.sha256 or entry.md5
    if not wanted:
        return True
    digest = hashlib.sha256() if entry.sha256 else hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest() == wanted
