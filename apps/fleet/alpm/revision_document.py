"""The text of a target revision that an operator signs: all that decides what a machine will do.

It must not know signatures, or who trusts whom. docs/protocol.md ("Signed revisions") has the format.

There is exactly one text for a document: what `parse` reads, `to_text` writes with the same bytes. So there are no
second spellings, no fields given twice and nothing after the end.
"""

from __future__ import annotations

import calendar
import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from . import names
from .state import InstalledPackage
from .target_files import TargetFile

FORMAT = "pacsync-revision 1"
LIMIT = 16 << 20  # bytes
LARGEST = 2**31 - 1  # number of a revision
LATEST = 253402300799  # seconds since 1970: the end of the year 9999
_POOL_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_TIME_TEXT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_PATTERN = re.compile(r"[!-~]{1,255}")
_HEAD = ("pool", "number", "created", "expires")
_WHY = ("foreign", "dropped", "excluded", "held")


@dataclass(frozen=True)
class SignedPackage:
    """A package of the revision, and the file behind it; None where the source's databases had none."""

    package: InstalledPackage
    file: Optional[TargetFile] = None

    def line(self) -> str:
        self.package.check()
        file = self.file
        if file is None:
            return f"package {' '.join(self.package)} - - - 0"
        if file.package != self.package[:3]:
            raise ValueError(f"the file of {self.package.name} is of another package")
        file.check()
        if file.repository == "-" or file.filename == "-":
            raise ValueError(f"the file of {self.package.name} has no name")
        sha256 = file.sha256 or "-"
        return f"package {' '.join(self.package)} {file.repository} {file.filename} {sha256} {file.size}"


@dataclass(frozen=True)
class RevisionDocument:
    """One revision of one pool. `created` and `expires` are seconds since 1970.

    `pool` is the pool's identity, which stays when it is renamed; `pool_name` is for readers. `excluded` are shell
    patterns of names that no machine changes, `left` the names with the reasons why the revision doesn't manage them.
    `removed` are names that a machine that has them removes, even if none of its own repositories knows them.
    """

    pool: str
    pool_name: str
    number: int
    created: int
    expires: int
    packages: tuple[SignedPackage, ...]
    excluded: tuple[str, ...] = ()
    left: tuple[tuple[str, str], ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[int, int]:
        """What a machine never goes back behind: the number, then when it was signed."""
        return self.number, self.created

    def check(self) -> None:
        """Raise ValueError unless every field makes sense."""
        if str(uuid.UUID(self.pool)) != self.pool:
            raise ValueError("the pool's identity is not a UUID in its usual form")
        if not _POOL_NAME.fullmatch(self.pool_name):
            raise ValueError(f"{self.pool_name[:80]!r} is not the name of a pool")
        if not 1 <= self.number <= LARGEST:
            raise ValueError(f"{self.number} is not the number of a revision")
        if not 0 <= self.created < self.expires <= LATEST:
            raise ValueError("it expires before it was made")
        for pattern in self.excluded:
            if not _PATTERN.fullmatch(pattern):
                raise ValueError(f"{pattern[:80]!r} is not a pattern")
        for name in self.removed:
            names.check_name(name)
        for name, why in self.left:
            names.check_name(name)
            if why not in _WHY:
                raise ValueError(f"{why[:80]!r} is no reason to leave a package alone")
        managed = [one.package.name for one in self.packages]
        for kind, found in (
            ("managed", managed),
            ("left alone", [name for name, _ in self.left]),
            ("excluded", list(self.excluded)),
            ("removed", list(self.removed)),
        ):
            if len(set(found)) != len(found):
                raise ValueError(f"a name is {kind} twice")
        for name in {*managed}.intersection(self.removed):
            raise ValueError(f"{name} is managed and removed")


def to_text(document: RevisionDocument) -> bytes:
    """The bytes to sign. Raises ValueError where a field makes no sense."""
    document.check()
    return "".join(f"{line}\n" for line in _lines(document)).encode("ascii")


def _lines(document: RevisionDocument) -> list[str]:
    return [
        FORMAT,
        f"pool {document.pool} {document.pool_name}",
        f"number {document.number}",
        f"created {time_text(document.created)}",
        f"expires {time_text(document.expires)}",
        *sorted(f"exclude {pattern}" for pattern in document.excluded),
        *sorted(f"leave {name} {why}" for name, why in document.left),
        *sorted(f"remove {name}" for name in document.removed),
        *sorted(one.line() for one in document.packages),
        "end",
    ]


def time_text(seconds: int) -> str:
    """`2026-11-28T15:00:00Z`."""
    return time.strftime(_TIME, time.gmtime(seconds))


def parse(text: bytes) -> RevisionDocument:
    """The document of exactly these bytes. ValueError says what is wrong with them."""
    if len(text) > LIMIT:
        raise ValueError(f"it is larger than {LIMIT} bytes")
    try:
        lines = text.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise ValueError("it has characters other than ASCII") from None
    if lines[0] != FORMAT:
        raise ValueError(f"it doesn't begin with {FORMAT!r}")
    if lines[-2:] != ["end", ""]:
        raise ValueError("it doesn't end with the line `end`")
    found = _fields(lines[1:-2])
    if to_text(found) != text:
        raise ValueError("its lines are not in their usual form and order")
    return found


def _fields(lines: list[str]) -> RevisionDocument:
    if len(lines) < len(_HEAD):
        raise ValueError("it has no head")
    values = []
    for place, word in enumerate(_HEAD):
        key, _, value = lines[place].partition(" ")
        if key != word:
            raise ValueError(f"it has no {word} where that belongs")
        values.append(value)
    rest = [line.partition(" ") for line in lines[len(_HEAD) :]]
    pool, number, created, expires = values
    identity, _, name = pool.partition(" ")
    if not _NUMBER.fullmatch(number):
        raise ValueError(f"{number[:80]!r} is not the number of a revision")
    for key, _, _ in rest:
        if key not in {"exclude", "leave", "remove", "package"}:
            raise ValueError(f"{key[:80]!r} is no field that it can have")
    return RevisionDocument(
        pool=identity,
        pool_name=name,
        number=int(number),
        created=_seconds(created),
        expires=_seconds(expires),
        packages=tuple(_package(value) for value in _of(rest, "package")),
        excluded=tuple(_of(rest, "exclude")),
        left=tuple((name, why) for name, _, why in (value.partition(" ") for value in _of(rest, "leave"))),
        removed=tuple(_of(rest, "remove")),
    )


def _of(rest: Iterable[tuple[str, str, str]], wanted: str) -> list[str]:
    return [value for key, _, value in rest if key == wanted]


def _seconds(text: str) -> int:
    if not _TIME_TEXT.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a time")
    return calendar.timegm(time.strptime(text, _TIME))


def _package(value: str) -> SignedPackage:
    fields = value.split(" ")
    if len(fields) != 8:
        raise ValueError(f"a package has 8 fields, and not {len(fields)}")
    name, version, arch, reason, repository, filename, sha256, size = fields
    if not _SIZE.fullmatch(size):
        raise ValueError(f"{size[:80]!r} is not a size in bytes")
    package = InstalledPackage(name, version, arch, reason)
    if (repository, filename) == ("-", "-"):
        return SignedPackage(package)
    known = None if sha256 == "-" else sha256
    return SignedPackage(package, TargetFile(name, version, arch, repository, filename, known, int(size)))
