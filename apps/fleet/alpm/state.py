"""The canonical text of a state: what is installed. It must not know where the packages are read from or kept.

One line `pkgname version arch reason` per package; docs/protocol.md has the rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from . import canonical, names

EXPLICIT = "explicit"
DEPENDENCY = "dependency"
REASONS = (EXPLICIT, DEPENDENCY)

digest_of = canonical.digest_of


@dataclass(frozen=True, order=True)
class InstalledPackage:
    """One installed package; `version` is `[epoch:]pkgver-pkgrel`, `reason` one of REASONS."""

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
        package.check()
        if package.name in seen:
            raise ValueError(f"{package.name} is listed twice")
        seen.add(package.name)
        lines.append(f"{package.name} {package.version} {package.arch} {package.reason}")
    return canonical.write_lines(lines)


def parse(text: bytes) -> list[InstalledPackage]:
    """The packages of a canonical text, sorted by name. ValueError says which line is wrong, and why."""
    packages = []
    for number, line in enumerate(canonical.read_lines(text), 1):
        fields = line.split(" ")
        if len(fields) != 4:
            raise ValueError(f"line {number}: expected 4 fields (pkgname version arch reason), found {len(fields)}")
        package = InstalledPackage(*fields)
        try:
            package.check()
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        packages.append(package)
    return packages
