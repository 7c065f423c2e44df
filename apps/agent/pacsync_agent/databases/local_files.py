"""Which installed package owns which path, by the lists in pacman's local database. It must not know what for.

`pacman -Qo` takes one path in a call, and doesn't find a directory that has become a link.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Optional

from apps.fleet.alpm import desc


def lists(dbpath: Path, names: Optional[Container[str]] = None) -> Iterator[tuple[str, list[bytes]]]:
    """(pkgname, paths) of each installed package, or of those in `names`.

    Paths are relative to the root; those of directories end in `/`.
    """
    for entry in sorted(os.scandir(dbpath / "local"), key=lambda found: found.name):
        try:
            name, _ = desc.split_entry(entry.name)
            if names is not None and name not in names:
                continue
            with open(f"{entry.path}/files", "rb", buffering=0) as file:
                text = file.readall()
        except (OSError, ValueError):  # not a package's entry, or one that a cut-off pacman left
            continue
        yield name, paths(text)


def of(dbpath: Path, entry: str) -> list[bytes]:
    """The paths of one entry (`name-pkgver-pkgrel`); none where its list can't be read."""
    try:
        return paths((dbpath / "local" / entry / "files").read_bytes())
    except OSError:
        return []


def paths(text: bytes) -> list[bytes]:
    """The lines of the block %FILES%: it is followed by an empty line, and another block may come."""
    return [line for line in text.partition(b"%FILES%\n")[2].partition(b"\n\n")[0].split(b"\n") if line]
