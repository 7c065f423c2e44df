"""What a sync db (`core.db`) offers. It must not know which machine it is on.

A sync db is a tar of `pkgname-pkgver-pkgrel/desc` files, compressed or not.
"""

from __future__ import annotations

from pathlib import Path

from . import archive, desc
from .repository import OfferedPackage

DESC_LIMIT = 1 << 20  # bytes of one entry that are read: a mirror could have one that unpacks without end


def read(path: Path) -> list[OfferedPackage]:
    """The packages of the sync db at `path`, sorted by name; empty for an empty repository.

    Raises ValueError (archive.ArchiveError when truncated or corrupt, else an entry that makes no sense), OSError.
    """
    packages: dict[str, OfferedPackage] = {}
    for entry, file in archive.members(path):
        directory, _, kind = entry.rpartition("/")
        if kind == "desc":
            package = _package(directory, file.read(DESC_LIMIT), path)
            packages.setdefault(package.name, package)
    return [packages[name] for name in sorted(packages)]


def _package(directory: str, text: bytes, path: Path) -> OfferedPackage:
    try:
        name, version = desc.split_entry(directory.rpartition("/")[2])
        values = desc.parse(text.decode(errors="replace"))
        package = OfferedPackage(
            name=name,
            version=version,
            arch=values.get("ARCH", ["any"])[0],
            filename=values.get("FILENAME", [""])[0],
            sha256=values.get("SHA256SUM", [""])[0].lower() or None,
            size=int(values.get("CSIZE", ["0"])[0]),
        )
        package.check()
    except ValueError as error:
        raise ValueError(f"{path}: the entry {directory[:80]!r} makes no sense: {error}") from None
    return package
