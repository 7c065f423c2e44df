"""Reads the .MTREE of a package: type, mode, size and checksum of each file. It must not read the files themselves.

It is a gzipped text of lines `./path key=value …`, and of `/set key=value …` for the keys that a line leaves out
(mtree(5)).
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Optional

_LIMIT = 256 << 20  # bytes of text; the largest packages have some 20 MiB
_ESCAPE = re.compile(rb"\\([0-7]{3})")


class MtreeError(ValueError):
    """The .MTREE can't be read: empty, cut off or damaged."""


class Entry(NamedTuple):
    """One file of a package. `path` is relative to the root, `kind` a word of mtree(5): file, dir, link, …

    `mode` has the permission bits, `size` is in bytes, `time` in seconds; None or empty if the line doesn't say.
    """

    path: str
    kind: str
    mode: Optional[int]
    size: Optional[int]
    time: Optional[int]
    link: str
    sha256: str
    md5: str


def read(path: Path) -> Iterator[Entry]:
    """The entries of a .MTREE in order, without the package's metadata (.PKGINFO). Raises MtreeError, OSError."""
    try:
        with gzip.open(path, "rb") as file:
            text = file.read(_LIMIT)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MtreeError(f"{path} is damaged ({error})") from None
    lines = text.splitlines()
    if not lines or not lines[0].startswith(b"#mtree"):
        raise MtreeError(f"{path} is empty or not an mtree")
    usual: dict[bytes, bytes] = {}
    for line in lines:
        words = line.split()
        if not words or line.startswith(b"#"):
            continue
        if words[0] == b"/set":
            usual.update(_values(words))
        elif words[0] == b"/unset":
            for word in words[1:]:
                usual.pop(word, None)
        elif not (words[0].startswith(b"./.") and b"/" not in words[0][2:]):
            yield _entry(path, words, usual)


def _values(words: list[bytes]) -> dict[bytes, bytes]:
    found = {}
    for word in words[1:]:
        key, _, value = word.partition(b"=")
        found[key] = value
    return found


def _entry(path: Path, words: list[bytes], usual: dict[bytes, bytes]) -> Entry:
    values = {**usual, **_values(words)}
    try:
        return Entry(
            path=_plain(words[0])[2:],
            kind=values.get(b"type", b"file").decode(),
            mode=int(values[b"mode"], 8) if b"mode" in values else None,
            size=int(values[b"size"]) if b"size" in values else None,
            time=int(values[b"time"].partition(b".")[0]) if b"time" in values else None,
            link=_plain(values.get(b"link", b"")),
            sha256=values.get(b"sha256digest", values.get(b"sha256", b"")).decode(),
            md5=values.get(b"md5digest", values.get(b"md5", b"")).decode(),
        )
    except ValueError as error:
        raise MtreeError(f"{path} has a line that makes no sense ({error})") from None


def _plain(word: bytes) -> str:
    """vis(3) writes the bytes that aren't plain as \\ooo."""
    if b"\\" in word:
        word = _ESCAPE.sub(lambda match: bytes([int(match.group(1), 8)]), word)
    return word.decode("utf-8", "surrogateescape")
