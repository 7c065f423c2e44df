"""The marker: an empty package whose conflicts make `pacman -U` remove packages while it installs others.

The pacman command can't install and remove in one transaction, libalpm can: a conflict is the one way to say it.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

NAME = "pacsync-transaction"
VERSION = "1-1"


def build(directory: Path, conflicts: Iterable[str]) -> Path:
    """Write the marker into `directory`; returns its path."""
    lines = [f"pkgname = {NAME}", f"pkgbase = {NAME}", f"pkgver = {VERSION}", "arch = any", "size = 0", "builddate = 0"]
    lines += ["pkgdesc = removed again as soon as the PacSync transaction that it belongs to is over"]
    lines += [f"conflict = {word}" for word in conflicts]
    content = "\n".join([*lines, ""]).encode()
    path = directory / f"{NAME}-{VERSION}-any.pkg.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo(".PKGINFO")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return path
