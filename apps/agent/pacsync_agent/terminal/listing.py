"""Names in a sentence: a few of them, and how many more there are. It must not know what is named.

A name stays on its line, even a path that has a line end in it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from .printable import printable

MOST = 10  # names in a message


def listed(items: Iterable[object], most: int = MOST) -> str:
    """`a, b and 3 more`: at most `most` of the items, in their order."""
    texts = [printable(str(item)) for item in items]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def named(names: Iterable[str]) -> str:
    """The names sorted, at most MOST, and how many more there are."""
    return listed(sorted(names))


def named_and(names: Collection[str]) -> str:
    """The same within a sentence: `a, b and c`."""
    if 1 < len(names) <= MOST:
        *before, last = map(printable, sorted(names))
        return f"{', '.join(before)} and {last}"
    return named(names)
