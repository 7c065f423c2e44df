"""The frame that both hashed texts share: lines, order, digest. It must not know what a line says."""

from __future__ import annotations

import hashlib


def digest_of(text: bytes) -> str:
    """The SHA-256 of a canonical text, in lower-case hex."""
    return hashlib.sha256(text).hexdigest()


def line_count(text: bytes) -> int:
    """How many packages the text has, without a look at them."""
    return text.count(b"\n")


def write_lines(lines: list[str]) -> bytes:
    """The text of these lines, sorted by their bytes, each ended by a newline."""
    return b"".join(sorted(line.encode() + b"\n" for line in lines))


def read_lines(text: bytes) -> list[str]:
    """The lines of a canonical text. ValueError: not UTF-8, no final newline, not sorted, a pkgname twice."""
    if not text:
        return []
    if not text.endswith(b"\n"):
        raise ValueError("the last line does not end in a newline")
    raw = text[:-1].split(b"\n")
    for number, after in enumerate(raw[1:], 2):
        before = raw[number - 2]
        if before.split(b" ", 1)[0] == after.split(b" ", 1)[0]:
            raise ValueError(f"line {number}: the package of the line before is listed again")
        if before > after:
            raise ValueError(f"line {number}: the lines are not sorted by their bytes")
    try:
        return text[:-1].decode().split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"the text is not UTF-8 (byte {error.start})") from None
