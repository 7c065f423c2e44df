"""The canonical text of a state: what is installed. It must not know where the packages are read from or kept.

One line `pkgname version arch reason` per package; docs/protocol.md has the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from . import canonical, names

EXPLICIT = "explicit"
DEPENDENCY = "dependency"
REASONS = (EXPLICIT, DEPENDENCY)

digest_of = canonical.digest_of
# A line whose fields are within a subset of what `names` allows: nearly every line there is, checked in one step.
_PLAIN_LINE = re.compile(
    r"[A-Za-z0-9@_+][A-Za-z0-9@._+-]{0,199} (?:[0-9]{1,9}:)?[A-Za-z0-9._+~]{1,99}-[A-Za-z0-9._+~]{1,99}"
    r" [A-Za-z0-9_]{1,32} (?:explicit|dependency)"
)


class InstalledPackage(NamedTuple):
    """One installed package; `version` is `[epoch:]pkgver-pkgrel`, `reason` one of REASONS.

    A tuple, because comparisons make, sort and compare tens of thousands of them.
    """

    name: str
    version: str
    arch: str
    reason: str

    def check(self) -> None:
        """Raise ValueError unless every field is one that pacman could have."""
        names.check_name(self.name)
        names.check_version(self.version)
        names.check_arch(self.arch)
        if self.reason not in REASONS:
            raise ValueError(f"{self.reason[:80]!r} is not an install reason (explicit or dependency)")


def to_text(packages: Iterable[InstalledPackage]) -> bytes:
    """The canonical text; empty for no package. ValueError when it could not be parsed again (a pkgname twice, …)."""
    lines = []
    seen: set[str] = set()
    for package in packages:
        line = " ".join(package)
        if not _PLAIN_LINE.fullmatch(line):
            package.check()
        if package.name in seen:
            raise ValueError(f"{package.name} is listed twice")
        seen.add(package.name)
        lines.append(line)
    return canonical.write_lines(lines)


def parse(text: bytes) -> list[InstalledPackage]:
    """The packages of a canonical text, sorted by name. ValueError says which line is wrong, and why."""
    packages = []
    for number, line in enumerate(canonical.read_lines(text), 1):
        fields = line.split(" ")
        if len(fields) != 4:
            raise ValueError(f"line {number}: expected 4 fields (pkgname version arch reason), found {len(fields)}")
        package = InstalledPackage(*fields)
        if not _PLAIN_LINE.fullmatch(line):
            try:
                package.check()
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
        packages.append(package)
    return packages
