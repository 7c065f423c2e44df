"""Tar archives of files that a test has in memory. It must not know of packages."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

SECOND = 1735689600  # every file's time


def tar_bytes(files: Mapping[str, bytes | str], modes: Mapping[str, int] | None = None) -> bytes:
    """A tar of these files; a str is the target of a symbolic link. `modes` of paths that don't have the usual ones."""
    content, modes = io.BytesIO(), modes or {}
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        made: set[str] = set()
        for name, data in files.items():
            parents = [str(parent) for parent in Path(name).parents if str(parent) != "."]
            for parent in reversed(parents):
                if parent not in made:
                    directory = tarfile.TarInfo(parent)
                    directory.type, directory.mode, directory.mtime = tarfile.DIRTYPE, modes.get(parent, 0o755), SECOND
                    archive.addfile(directory)
                    made.add(parent)
            entry = tarfile.TarInfo(name)
            entry.mode, entry.mtime = modes.get(name, 0o644), SECOND
            if isinstance(data, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, data
                archive.addfile(entry)
            else:
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()
