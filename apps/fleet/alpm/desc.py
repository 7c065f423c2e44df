"""The %KEY% blocks of `desc` files, read as libalpm reads them. It must not know which file they come from.

libalpm goes line by line: a known key that has one value takes the next line, a known key that has many takes the lines
up to an empty one, and every other line is passed over. (be_local.c: local_db_read, be_sync.c: sync_db_read.)
"""

from __future__ import annotations

from collections.abc import Iterator

# fmt: off
SINGLE = frozenset({"NAME", "VERSION", "BASE", "DESC", "URL", "ARCH", "BUILDDATE", "INSTALLDATE", "PACKAGER", "REASON",
                    "SIZE", "FILENAME", "CSIZE", "ISIZE", "MD5SUM", "SHA256SUM", "PGPSIG"})
MANY = frozenset({"GROUPS", "LICENSE", "VALIDATION", "REPLACES", "DEPENDS", "OPTDEPENDS", "MAKEDEPENDS",
                  "CHECKDEPENDS", "CONFLICTS", "PROVIDES"})
# fmt: on


def parse(text: str) -> dict[str, list[str]]:
    """The values of each known key, without the percent signs. A single-valued key has a list of one."""
    values: dict[str, list[str]] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        key = line[1:-1]
        if line != f"%{key}%":
            continue
        if key in SINGLE:
            values[key] = [next(lines, "")]
        elif key in MANY:
            values.setdefault(key, []).extend(_until_empty(lines))
    return values


def _until_empty(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if not line:
            return
        yield line


def split_entry(entry: str) -> tuple[str, str]:
    """(pkgname, version) of a database entry `name-pkgver-pkgrel`. ValueError when it has fewer than two hyphens."""
    parts = entry.rstrip("/").rsplit("-", 2)
    if len(parts) != 3 or not parts[0]:
        raise ValueError(f"{entry[:80]!r} is not a database entry (pkgname-pkgver-pkgrel)")
    return parts[0], f"{parts[1]}-{parts[2]}"
