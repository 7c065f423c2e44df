"""The order of package versions, exact as libalpm's `alpm_pkg_vercmp`. It must not know what a package is.

Source: lib/libalpm/version.c of pacman (`parseEVR`, `rpmvercmp`). libalpm works on C strings, so this works on
bytes: only ASCII letters and digits count, and a separator is as long as its bytes.
"""

from __future__ import annotations

import re
from typing import Optional, Union

_EPOCH = re.compile(rb"([0-9]*):")
_SEPARATOR = re.compile(rb"[^0-9A-Za-z]*")
_DIGITS = re.compile(rb"[0-9]*")
_LETTERS = re.compile(rb"[A-Za-z]*")


def vercmp(a: Union[str, bytes], b: Union[str, bytes]) -> int:
    """-1, 0 or 1: whether version `a` is older than, as old as, or newer than `b`. Takes any text, never raises.

    Equal in order does not mean equal as text: `1.0` and `1.00`, or `1-1` and `1`, compare as 0.
    """
    one, two = _c_string(a), _c_string(b)
    if one == two:
        return 0
    epoch1, version1, release1 = _split(one)
    epoch2, version2, release2 = _split(two)
    order = _compare(epoch1, epoch2) or _compare(version1, version2)
    if order == 0 and release1 is not None and release2 is not None:
        return _compare(release1, release2)
    return order


def _c_string(text: Union[str, bytes]) -> bytes:
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogateescape" if _only_escapes(text) else "surrogatepass")
    return text.split(b"\0", 1)[0]


def _only_escapes(text: str) -> bool:
    """Whether every lone surrogate is one that Python made of an undecodable byte (PEP 383)."""
    return not any("\ud800" <= char <= "\udfff" and not "\udc80" <= char <= "\udcff" for char in text)


def _split(version: bytes) -> tuple[bytes, bytes, Optional[bytes]]:
    """(epoch, version, release): epoch `0` when there is none, release None when there is none."""
    epoch = _EPOCH.match(version)
    # As libalpm does: the last hyphen is looked for after the epoch's digits, the release is cut off there.
    start = epoch.end() if epoch else 0
    rest, hyphen, release = version[start:].rpartition(b"-")
    number = (epoch.group(1) or b"0") if epoch else b"0"
    return (number, rest, release) if hyphen else (number, release, None)


def _compare(one: bytes, two: bytes) -> int:
    """The order of two versions without epoch and release."""
    i = j = 0
    while i < len(one) and j < len(two):
        start1, start2 = _end(_SEPARATOR, one, i), _end(_SEPARATOR, two, j)
        separators = (start1 - i, start2 - j)
        i, j = start1, start2
        if i == len(one) or j == len(two):
            break
        if separators[0] != separators[1]:
            return -1 if separators[0] < separators[1] else 1
        numeric = one[i : i + 1].isdigit()
        kind = _DIGITS if numeric else _LETTERS
        end1, end2 = _end(kind, one, i), _end(kind, two, j)
        if end2 == j:  # of different kinds: a number is newer than letters
            return 1 if numeric else -1
        order = _compare_segments(one[i:end1], two[j:end2], numeric)
        if order:
            return order
        i, j = end1, end2
    return _compare_tails(one[i:], two[j:])


def _end(pattern: re.Pattern[bytes], text: bytes, start: int) -> int:
    found = pattern.match(text, start)
    return found.end() if found else start


def _compare_segments(one: bytes, two: bytes, numeric: bool) -> int:
    if numeric:
        one, two = one.lstrip(b"0"), two.lstrip(b"0")
        if len(one) != len(two):
            return -1 if len(one) < len(two) else 1
    return (one > two) - (one < two)


def _compare_tails(one: bytes, two: bytes) -> int:
    """What is left after the last common segment: letters make a version older, anything else makes it newer."""
    if not one and not two:
        return 0
    return -1 if (not one and not two[:1].isalpha()) or one[:1].isalpha() else 1
