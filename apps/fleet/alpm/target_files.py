"""The canonical text of a target's files: which file is behind each package. It must not know where it is kept.

One line `pkgname version arch repository filename sha256 size` per package whose file is known; docs/protocol.md has
the rules. It is the file as the source's sync db had it, not what any other machine's says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from . import canonical
from .repository import OfferedPackage

digest_of = canonical.digest_of

# As in pacman.conf's section names that agents report: no spaces, no slash.
_REPOSITORY = re.compile(r"[^\x00-\x20/\x7f]{1,255}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, order=True)
class TargetFile:
    """The file of one package. `sha256` is None if the db has none; `size` is compressed bytes, 0 when unknown."""

    name: str
    version: str
    arch: str
    repository: str
    filename: str
    sha256: Optional[str]
    size: int

    @property
    def package(self) -> tuple[str, str, str]:
        """(name, version, arch)."""
        return self.name, self.version, self.arch

    def check(self) -> None:
        """Raise ValueError unless every field is one that a sync db could have."""
        OfferedPackage(self.name, self.version, self.arch, self.filename, self.sha256, self.size).check()
        if not _REPOSITORY.fullmatch(self.repository):
            raise ValueError(f"{self.repository[:80]!r} is not the name of a repository")


def to_text(files: Iterable[TargetFile]) -> bytes:
    """The canonical text; empty for no file. ValueError when it could not be parsed again (a pkgname twice, …)."""
    lines = []
    seen: set[str] = set()
    for file in files:
        file.check()
        if file.name in seen:
            raise ValueError(f"{file.name} is listed twice")
        seen.add(file.name)
        lines.append(" ".join((*file.package, file.repository, file.filename, file.sha256 or "-", str(file.size))))
    return canonical.write_lines(lines)


def parse(text: bytes) -> list[TargetFile]:
    """The files of a canonical text, sorted by name. ValueError says which line is wrong, and why."""
    return [_parse_line(number, line) for number, line in enumerate(canonical.read_lines(text), 1)]


def _parse_line(number: int, line: str) -> TargetFile:
    fields = line.split(" ")
    try:
        if len(fields) != 7:
            raise ValueError(
                f"expected 7 fields (pkgname version arch repository filename sha256 size), found {len(fields)}"
            )
        name, version, arch, repository, filename, sha256, size = fields
        if not _SIZE.fullmatch(size):
            raise ValueError(f"{size[:80]!r} is not a size in bytes")
        file = TargetFile(name, version, arch, repository, filename, None if sha256 == "-" else sha256, int(size))
        file.check()
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None
    return file
