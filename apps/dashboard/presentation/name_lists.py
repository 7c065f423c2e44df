"""Long lists of names, shortened for a page. It must not know what the names are of."""

from collections.abc import Iterable
from typing import Any, NamedTuple

NAMES_SHOWN = 10


class NameList(NamedTuple):
    """The first names of a list, and how many more there are."""

    shown: list[Any]
    more: int

    def __str__(self) -> str:
        """`a, b and 3 more`."""
        return ", ".join(self.shown) + (f" and {self.more} more" if self.more else "")


def shorten(names: Iterable[Any]) -> NameList:
    """The first NAMES_SHOWN of them, and the number of the others."""
    found = list(names)
    return NameList(found[:NAMES_SHOWN], max(0, len(found) - NAMES_SHOWN))
