"""What the machine's own databases say of package files: its sync databases, and the current ones of its own mirrors.

It must not know the server, nor decide whether a file may be installed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Optional

from apps.fleet.alpm.repository import OfferedPackage

from .pacman_conf import PacmanConf, SigLevel
from .private_databases import Databases

Fetch = Callable[[Iterable[str]], Databases]
Read = Callable[[str], Iterable[OfferedPackage]]
Offered = Mapping[str, OfferedPackage]


@dataclass(frozen=True)
class OwnFile:
    """A package file as one of the machine's own databases has it. `size` in bytes, None: it doesn't say."""

    repository: str
    filename: str
    sha256: Optional[str]
    size: Optional[int]


class OwnDatabases:
    """`read` gives the sync database of a repository, and raises OSError or ValueError where none counts.

    `fetch` gets the current databases of these repositories privately; it is called once, by `refresh`.
    `reasons` says by repository why the current database could not be had, after `refresh`; `passing` has those of
    them that are about mirrors and the network.
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
        """The repositories of which nothing is known; `refresh` may get some of them."""
        return [name for name in self._names if name not in self._synced and name not in self._current]

    def refresh(self) -> None:
        """Have the current databases too. The sync databases go on counting."""
        if self.refreshed:
            return
        self.refreshed = True
        found = self._fetch(self._names)
        self.reasons, self.passing = found.reasons, found.passing
        self._current = {
            name: {package.name: package for package in database.packages} for name, database in found.readable.items()
        }

    def _offers(self, name: str) -> Iterable[tuple[str, OfferedPackage]]:
        """Who offers the pkgname: the repositories in pacman's order, of each the sync database first."""
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

        Both the repository that pacman would take the name from and the one that has exactly this file count, and the
        stricter word of the two: no repository may stand in for a signed one. So does each unreadable one that comes
        before them in pacman.conf: it may be the one that has the name. `recorded`, the repository that the target
        names, counts only for a name that no repository here offers; one that isn't here has the general level.
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
