"""What pacman allows in a pkgname, a version, an architecture and a file name. It must not know where they are used.

Sources: libalpm's package loader and makepkg's lint rules (PKGBUILD(5): pkgname, pkgver, pkgrel, epoch, arch).
"""

from __future__ import annotations

import re

MAX_NAME = 255
MAX_ARCH = 32

_NAME = re.compile(r"[A-Za-z0-9@_+][A-Za-z0-9@._+-]*")
# [epoch:]pkgver-pkgrel. pacman splits `name-pkgver-pkgrel` at the last two hyphens, so neither part may hold one.
_VERSION = re.compile(r"(?:[0-9]+:)?[^\s:/-]+-[^\s:/-]+")
_ARCH = re.compile(r"[A-Za-z0-9_]+")
_MICROARCHITECTURE = re.compile(r"_v[0-9]+\Z")
_FILENAME = re.compile(r"[^\s/.-][^\s/]*")


def check_name(name: str) -> None:
    """Raise ValueError unless `name` is a pkgname."""
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise ValueError(f"{name[:80]!r} is not a package name")


def check_version(version: str) -> None:
    """Raise ValueError unless `version` is `[epoch:]pkgver-pkgrel`."""
    if len(version) > MAX_NAME or not _VERSION.fullmatch(version) or not version.isprintable():
        raise ValueError(f"{version[:80]!r} is not a package version")


def check_arch(arch: str) -> None:
    """Raise ValueError unless `arch` is an architecture (`any`, `x86_64`, …)."""
    if len(arch) > MAX_ARCH or not _ARCH.fullmatch(arch):
        raise ValueError(f"{arch[:80]!r} is not an architecture")


def check_filename(filename: str) -> None:
    """Raise ValueError unless `filename` is a bare file name that is safe in a directory and a URL."""
    if len(filename) > MAX_NAME or not _FILENAME.fullmatch(filename) or not filename.isprintable():
        raise ValueError(f"{filename[:80]!r} is not a package file name")


def machine_arch(arch: str) -> str:
    """The machine that `arch` is a level of: x86_64 for `x86_64_v3` (the levels of the x86-64 psABI, as on CachyOS)."""
    return _MICROARCHITECTURE.sub("", arch)
