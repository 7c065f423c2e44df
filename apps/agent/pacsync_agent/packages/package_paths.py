"""The paths in a package file. It must not know what they are for or read the files themselves.

makepkg puts a list of them (.MTREE) before the files, so a large package needs no unpacking.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Optional

from apps.fleet.alpm import archive

_OCTAL = re.compile(rb"\\([0-7]{3})")
_LIMIT = 256 << 20  # bytes of one list; the largest of Arch's have some 10 MB


def of(path: Path) -> list[bytes]:
    """The paths of files and links (not of directories), relative to the root. Raises archive.ArchiveError, OSError."""
    found: list[bytes] = []
    entries = archive.entries(path)
    for entry, content in entries:
        if entry.name == ".MTREE" and content is not None:
            listed = _listed(content.read(_LIMIT))
            if listed is not None:
                entries.close()
                return listed
        if not entry.isdir() and not entry.name.startswith("."):
            found.append(entry.name.encode(errors="surrogateescape"))
    return found


def _listed(packed: bytes) -> Optional[list[bytes]]:
    """The paths of an mtree(5) list as bsdtar writes it, one in a line; None if it can't be read."""
    try:
        text = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error):
        return None
    found, usual = [], b""
    for line in text.splitlines():
        path, _, words = line.partition(b" ")
        if path == b"/set":
            usual = _type_of(words)
        elif path.startswith(b"./") and not path.startswith(b"./.") and (_type_of(words) or usual) != b"dir":
            found.append(_OCTAL.sub(lambda octal: bytes([int(octal.group(1), 8) & 255]), path[2:]))
    return found


def _type_of(words: bytes) -> bytes:
    return next((word[5:] for word in words.split() if word.startswith(b"type=")), b"")
