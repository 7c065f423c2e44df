"""Numbers with their nouns, and lists of names, in sentences for people. It must not know what is counted."""

from collections.abc import Sequence


def counted(number: int, one: str, many: str = "") -> str:
    """`1 endpoint`, `3 endpoints`, `1,200 entries`: with `many` where an s alone doesn't make the plural."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def listed(names: Sequence[str], most: int = 3) -> str:
    """`a, b, c and 4 more`."""
    more = len(names) - most
    return f"{', '.join(names[:most])} and {more:,} more" if more > 0 else ", ".join(names)
