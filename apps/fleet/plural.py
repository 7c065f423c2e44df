"""Numbers with their nouns in sentences for people. It must not know what is counted."""


def counted(number: int, one: str, many: str = "") -> str:
    """`1 endpoint`, `3 endpoints`, `1,200 entries`: with `many` where an s alone doesn't make the plural."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
