"""The canonical text of a repository: what one sync db offers. It must not know where it is read from or kept.

One line `pkgname version arch filename sha256 size` per package; docs/protocol.md has the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from . import canonical, names

digest_of = canonical.digest_of

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, order=True)
class OfferedPackage:
    """One package of a sync db. `sha256` is None if the db has none; `size` is compressed bytes, 0 when unknown."""

    name: str
    version: str
    arch: str
    filename: str
    sha256: Optional[str]
    size: int

    def check(self) -> None:
        """Raise ValueError unless every field is one that a sync db could have."""
        names.check_name(self.name)
        names.check_version(self.version)
        names.check_arch(self.arch)
        names.check_filename(self.filename)
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"{self.sha256[:80]!r} is not a SHA-256 in lower-case hex")
        if not 0 <= self.size < 10**18:
            raise ValueError(f"{self.size} is not a size in bytes")


def to_text(packages: Iterable[OfferedPackage]) -> bytes:
    """The canonical text. ValueError when it could not be parsed again: no package, a bad field, a pkgname twice."""
    lines = []
    seen: set[str] = set()
    for package in packages:
        package.check()
        if package.name in seen:
            raise ValueError(f"{package.name} is listed twice")
        seen.add(package.name)
        checksum = package.sha256 or "-"
        lines.append(f"{package.name} {package.version} {package.arch} {package.filename} {checksum} {package.size}")
    if not lines:
        raise ValueError("a repository has at least one package")
    return canonical.write_lines(lines)


def parse(text: bytes) -> list[OfferedPackage]:
    """The packages of a canonical text, sorted by name. ValueError says which line is wrong, and why."""
    if not text:
        raise ValueError("the text is empty")
    packages = []
    for number, line in enumerate(canonical.read_lines(text), 1):
        try:
            packages.append(_parse_line(line))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return packages


def _parse_line(line: str) -> OfferedPackage:
    fields = line.split(" ")
    if len(fields) != 6:
        raise ValueError(f"expected 6 fields (pkgname version arch filename sha256 size), found {len(fields)}")
    name, version, arch, filename, sha256, size = fields
    if not _SIZE.fullmatch(size):
        raise ValueError(f"{size[:80]!r} is not a size in bytes")
    package = OfferedPackage(name, version, arch, filename, None if sha256 == "-" else sha256, int(size))
    package.check()
    return package
