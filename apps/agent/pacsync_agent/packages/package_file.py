"""One package file and its .PKGINFO. It must not know where it came from or whether it may be installed."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from apps.fleet.alpm import archive

INFO_LIMIT = 1 << 20  # bytes of .PKGINFO


class WrongPackage(ValueError):
    """The file isn't a package; the text says why."""


@dataclass(frozen=True)
class Wanted:
    """A package that a machine needs, with the server's hints about its file: none of them is trusted by itself.

    `sha256`, `size` (compressed bytes) and `repository` are None, and `filename` is empty, where the server has no
    hint.
    """

    name: str
    version: str
    arch: str
    filename: str = ""
    sha256: Optional[str] = None
    size: Optional[int] = None
    urls: tuple[str, ...] = ()
    repository: Optional[str] = None

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class PackageFile:
    """A package file and its own metadata. `installed_size` in bytes.

    `sha256` is the checksum by which it was accepted; empty if a signature, or the cache, was enough.
    """

    path: Path
    name: str
    version: str
    arch: str
    provides: tuple[str, ...] = field(default=())
    conflicts: tuple[str, ...] = field(default=())
    groups: tuple[str, ...] = field(default=())
    depends: tuple[str, ...] = field(default=())
    replaces: tuple[str, ...] = field(default=())
    installed_size: int = 0
    sha256: str = ""

    def at(self, path: Path) -> PackageFile:
        """The same package at another path."""
        return dataclasses.replace(self, path=path)


def read(path: Path) -> PackageFile:
    """The package in the file. Raises WrongPackage when it isn't one, OSError."""
    try:
        files = archive.members(path)
        for name, file in files:
            if name == ".PKGINFO":
                text = file.read(INFO_LIMIT).decode(errors="replace")
                files.close()
                return _from_info(path, text)
    except archive.ArchiveError as error:
        raise WrongPackage(str(error)) from None
    raise WrongPackage(f"{path} is not a package: it has no .PKGINFO")


def _from_info(path: Path, text: str) -> PackageFile:
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, separator, value = line.partition(" = ")
        if separator and not line.startswith("#"):
            values.setdefault(key.strip(), []).append(value.strip())
    size = values.get("size", ["0"])[-1]
    return PackageFile(
        path=path,
        name=values.get("pkgname", [""])[-1],
        version=values.get("pkgver", [""])[-1],
        arch=values.get("arch", [""])[-1],
        provides=tuple(values.get("provides", ())),
        conflicts=tuple(values.get("conflict", ())),
        groups=tuple(values.get("group", ())),
        depends=tuple(values.get("depend", ())),
        replaces=tuple(values.get("replaces", ())),
        installed_size=int(size) if size.isdigit() else 0,
    )


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def read_to_the_end(path: Path) -> None:
    """Check that the archive is whole. Raises WrongPackage, OSError."""
    try:
        for _ in archive.members(path):
            pass
    except archive.ArchiveError as error:
        raise WrongPackage(str(error)) from None
