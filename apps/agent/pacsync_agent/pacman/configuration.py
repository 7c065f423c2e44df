"""What the machine's pacman configuration says, as `pacman-conf` reads it (includes, mirrors, defaults).

It must not know what the agent does with it.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from ..errors import Local, pacman_unusable
from ..system import process_environment

# Untranslated messages, but UTF-8: in the plain C locale libarchive can't unpack file names that are not ASCII.
_LANGUAGE = {"LANGUAGE", "LC_ALL", "LANG"}
ENVIRONMENT = process_environment.completed({key: value for key, value in os.environ.items() if key not in _LANGUAGE})
ENVIRONMENT["LC_ALL"] = "C.UTF-8"
MOST_PARALLEL = 100  # downloads at once, whatever ParallelDownloads says


@dataclass(frozen=True)
class SigLevel:
    """What a repository wants of a package's signature."""

    required: bool
    never: bool
    trust_all: bool


@dataclass(frozen=True)
class Repository:
    """One repository: its mirrors with $repo and $arch replaced, in pacman's order. `lines` is its whole section.

    `database_level` is what it wants of its database's signature: Required, Optional or Never. `usage` has pacman's
    words of what it is for. `cache_servers` (pacman 6.1 and newer) are asked for packages before its mirrors, and never
    for a database.
    """

    name: str
    servers: tuple[str, ...]
    siglevel: SigLevel
    lines: tuple[tuple[str, str], ...] = ()
    database_level: str = "Required"
    usage: tuple[str, ...] = ("All",)
    cache_servers: tuple[str, ...] = ()

    @property
    def gives_packages(self) -> bool:
        """Whether pacman installs from it, or upgrades, unless it is named with the package (`-S repository/name`)."""
        return not {"All", "Install", "Upgrade"}.isdisjoint(self.usage)


@dataclass(frozen=True)
class PacmanConf:
    """The parts of the configuration that matter here; `options` has all of [options] for making another one.

    `repositories` lists those that give packages: one with `Usage = Search` or `Sync Search` is for looking, and counts
    for nothing here. `source` is what pacman-conf said; `unusable` why it doesn't start now (kept_configuration.py).
    """

    root: Path
    dbpath: Path
    gpgdir: Path
    cache_dirs: tuple[Path, ...]
    architectures: tuple[str, ...]
    hold: tuple[str, ...]
    ignore: tuple[str, ...]
    ignore_groups: tuple[str, ...]
    parallel: int
    siglevel: SigLevel
    repositories: tuple[Repository, ...]
    options: tuple[tuple[str, str], ...]
    source: str = field(default="", compare=False, repr=False)
    unusable: Optional[Local] = field(default=None, compare=False)

    def siglevel_of(self, repository: Optional[str]) -> SigLevel:
        """The level of that repository, the general one when it is None."""
        return next((found.siglevel for found in self.repositories if found.name == repository), self.siglevel)


def read(config: Optional[Path], root: Optional[Path], dbpath: Optional[Path]) -> PacmanConf:
    """Ask pacman-conf. Raises Local when pacman is missing, doesn't start, or its configuration can't be read."""
    command = ["pacman-conf"]
    command += ["--config", str(config)] if config else []
    command += ["--rootdir", str(root)] if root else []
    try:
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, errors="surrogateescape")
    except FileNotFoundError:
        raise Local("pacman_missing", "pacman is not installed here (pacman-conf was not found).") from None
    said = done.stderr.strip().splitlines()
    if done.returncode < 0 or (done.returncode in {126, 127} and said):
        raise pacman_unusable(said[-1] if said else f"signal {-done.returncode} ended pacman-conf")
    if done.returncode != 0:
        raise Local(
            "pacman_config_invalid",
            f"The pacman configuration {config or '/etc/pacman.conf'} can't be read: {said[0] if said else 'unknown'}.",
            "Correct it, or name another one with --config.",
        )
    return of_text(done.stdout, root, dbpath)


def of_text(text: str, root: Optional[Path], dbpath: Optional[Path]) -> PacmanConf:
    """The configuration in the output of pacman-conf."""
    return _from_sections(_sections(text), root, dbpath, text)


def _sections(text: str) -> dict[str, list[tuple[str, str]]]:
    sections: dict[str, list[tuple[str, str]]] = {"options": []}
    current = sections["options"]
    for line in text.splitlines():
        if line.startswith("[") and line.endswith("]"):
            current = sections.setdefault(line[1:-1], [])
        elif line:
            key, _, value = line.partition(" = ")
            current.append((key, value))
    return sections


def _siglevel(lines: list[tuple[str, str]], default: SigLevel) -> SigLevel:
    words = [word for key, value in lines if key == "SigLevel" for word in value.split()]
    if not words:
        return default
    return SigLevel("PackageRequired" in words, "PackageNever" in words, "PackageTrustAll" in words)


def _database_level(lines: list[tuple[str, str]], default: str) -> str:
    words = [word for key, value in lines if key == "SigLevel" for word in value.split()]
    return next((level for level in ("Required", "Optional", "Never") if f"Database{level}" in words), default)


def _repository(name: str, lines: list[tuple[str, str]], siglevel: SigLevel, database_level: str) -> Repository:
    return Repository(
        name,
        tuple(value for key, value in lines if key == "Server"),
        _siglevel(lines, siglevel),
        tuple(lines),
        _database_level(lines, database_level),
        tuple(word for key, value in lines if key == "Usage" for word in value.split()) or ("All",),
        tuple(value for key, value in lines if key == "CacheServer"),
    )


def _from_sections(
    sections: dict[str, list[tuple[str, str]]], root: Optional[Path], dbpath: Optional[Path], source: str
) -> PacmanConf:
    options = sections.pop("options")

    def values(key: str) -> tuple[str, ...]:
        return tuple(word for name, value in options if name == key for word in value.split())

    def path(key: str, default: str) -> Path:
        return Path(next((value for name, value in options if name == key), default))

    siglevel = _siglevel(options, SigLevel(required=True, never=False, trust_all=False))
    database_level = _database_level(options, "Required")
    parallel = values("ParallelDownloads")
    return PacmanConf(
        root=root or path("RootDir", "/"),
        dbpath=dbpath or path("DBPath", "/var/lib/pacman/"),
        gpgdir=path("GPGDir", "/etc/pacman.d/gnupg/"),
        cache_dirs=tuple(Path(value) for name, value in options if name == "CacheDir"),
        architectures=values("Architecture"),
        hold=values("HoldPkg"),
        ignore=values("IgnorePkg"),
        ignore_groups=values("IgnoreGroup"),
        parallel=max(1, min(MOST_PARALLEL, int(parallel[0]) if parallel and parallel[0].isdigit() else 1)),
        siglevel=siglevel,
        repositories=tuple(
            repository
            for name, lines in sections.items()
            if (repository := _repository(name, lines, siglevel, database_level)).gives_packages
        ),
        options=tuple(options),
        source=source,
    )
