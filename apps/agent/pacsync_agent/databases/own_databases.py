"""The package files in the machine's own databases: its sync databases, and the current ones of its mirrors.

It must not know the server or decide whether a file may be installed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Optional

from apps.fleet.alpm.repository import OfferedPackage

from ..pacman.configuration import PacmanConf, SigLevel
from .private_databases import Databases

Fetch = Callable[[Iterable[str]], Databases]
Read = Callable[[str], Iterable[OfferedPackage]]
Offered = Mapping[str, OfferedPackage]


@dataclass(frozen=True)
class OwnFile:
    """A package file as one of the machine's own databases has it. `size` is in bytes, None if it doesn't say."""

    repository: str
    filename: str
    sha256: Optional[str]
    size: Optional[int]


class OwnDatabases:
    """The offers of all repositories.

    `read` gives the sync database of a repository, and raises OSError or ValueError where it has no valid one.
    `fetch` gets the current databases of these repositories privately; `refresh` calls it once.
    After `refresh`, `reasons` says by repository why the current database could not be fetched; `passing` has those
    reasons that are about mirrors and the network.
    """

    def __init__(self, conf: PacmanConf, read: Read, fetch: Fetch) -> None:
        self._conf = conf
        self._fetch = fetch
        self._synced: dict[str, Offered] = {}
        self._names = tuple(repository.name for repository in conf.repositories)
        for name in self._names:
            with contextlib.suppress(OSError, ValueError):
                self._synced[name] = {package.name: package for package in read(name)}
        self._current: dict[str, Offered] = {}
        self.refreshed = False
        self.reasons: dict[str, str] = {}
        self.passing: dict[str, str] = {}

    @property
    def unreadable(self) -> list[str]:
        """The repositories without any readable database; `refresh` may fetch some of them."""
        return [name for name in self._names if name not in self._synced and name not in self._current]

    def refresh(self) -> None:
        """Fetch the current databases too. The sync databases still count."""
        if self.refreshed:
            return
        self.refreshed = True
        found = self._fetch(self._names)
        self.reasons, self.passing = found.reasons, found.passing
        self._current = {
            name: {package.name: package for package in database.packages} for name, database in found.readable.items()
        }

    def _offers(self, name: str) -> Iterable[tuple[str, OfferedPackage]]:
        """(repository, package) for each database that offers the pkgname, in pacman's order, sync databases first."""
        for repository in self._names:
            for databases in (self._synced, self._current):
                known = databases.get(repository, {}).get(name)
                if known is not None:
                    yield repository, known

    def repository_of(self, name: str) -> Optional[str]:
        """The repository that pacman would take the pkgname from."""
        return next((repository for repository, _ in self._offers(name)), None)

    def files(self, name: str, version: str, arch: str) -> list[OwnFile]:
        """The files of exactly this package, without repeats; several where a repository was rebuilt in place."""
        found = [
            OwnFile(repository, offered.filename, offered.sha256, offered.size or None)
            for repository, offered in self._offers(name)
            if (offered.version, offered.arch) == (version, arch)
        ]
        return list(dict.fromkeys(found))

    def level_of(self, name: str, found: Iterable[OwnFile], recorded: Optional[str]) -> SigLevel:
        """What the machine's pacman.conf asks of this package's signature.

        The strictest level counts of the repository that pacman would take the name from and of those that have exactly
        this file: no repository may stand in for a signed one. Each unreadable repository before them in pacman.conf
        counts as well, because it may have the name. `recorded`, the repository that the target names, counts only for
        a name that no repository here offers; the general level applies if it isn't configured here.
        """
        offering = self.repository_of(name)
        names: set[Optional[str]] = {offering, *(file.repository for file in found)} - {None}
        levels = [self._conf.siglevel_of(one) for one in names or {recorded}]
        ahead = self._names[: self._names.index(offering)] if offering else self._names
        levels += [self._conf.siglevel_of(one) for one in self.unreadable if one in ahead]
        return SigLevel(
            required=any(level.required for level in levels),
            never=all(level.never for level in levels),
            trust_all=all(level.trust_all for level in levels),
        )
