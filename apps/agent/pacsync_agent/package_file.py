"""One package file: what its .PKGINFO says, and whether it is the wanted one. It must not know where it came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from apps.fleet.alpm import archive


class WrongPackage(ValueError):
    """The file is not the package that it should be; the text says why."""


@dataclass(frozen=True)
class Wanted:
    """A package that a machine needs: `sha256` and `size` (compressed bytes) are None where nobody knows them."""

    name: str
    version: str
    arch: str
    filename: str
    sha256: Optional[str] = None
    size: Optional[int] = None
    urls: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class PackageFile:
    """A verified package file. `installed_size` in bytes, `file_size` compressed."""

    path: Path
    name: str
    version: str
    arch: str
    provides: tuple[str, ...] = field(default=())
    conflicts: tuple[str, ...] = field(default=())
    groups: tuple[str, ...] = field(default=())
    installed_size: int = 0


def read(path: Path) -> PackageFile:
    """The package in the file. Raises WrongPackage when it is none, OSError."""
    try:
        files = archive.members(path)
        for name, file in files:
            if name == ".PKGINFO":
                text = file.read().decode(errors="replace")
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
        installed_size=int(size) if size.isdigit() else 0,
    )


def verify(path: Path, wanted: Wanted) -> PackageFile:
    """The package, when the file is exactly the wanted one: checksum if known, name, version, architecture.

    Where no checksum is known the archive is read to its end instead. Raises WrongPackage, OSError.
    """
    if wanted.sha256:
        found = sha256_of(path)
        if found != wanted.sha256:
            raise WrongPackage(f"{path} has the SHA-256 {found[:12]}…, not {wanted.sha256[:12]}…")
    package = read(path)
    if (package.name, package.version, package.arch) != (wanted.name, wanted.version, wanted.arch):
        raise WrongPackage(f"{path} is {package.name} {package.version} ({package.arch}), not {wanted} ({wanted.arch})")
    if not wanted.sha256:
        _read_to_the_end(path)
    return package


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _read_to_the_end(path: Path) -> None:
    try:
        for _ in archive.members(path):
            pass
    except archive.ArchiveError as error:
        raise WrongPackage(str(error)) from None
