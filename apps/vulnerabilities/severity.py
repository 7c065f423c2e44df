"""The tracker's severities as numbers, so that the worst one is the highest. It must not know advisories."""

from enum import IntEnum


class Severity(IntEnum):
    """How bad an advisory is, by the tracker. NONE is for what no advisory concerns."""

    NONE = 0
    UNKNOWN = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5

    @property
    def word(self) -> str:
        """As the API, metrics and the command call it."""
        return self.name.lower()


WORST_FIRST = tuple(sorted(set(Severity) - {Severity.NONE}, reverse=True))
WORDS = {one.word: one for one in WORST_FIRST}


def from_tracker(text: str) -> Severity:
    """The severity of an entry; UNKNOWN for a word that isn't one of the tracker's."""
    return WORDS.get(text.lower(), Severity.UNKNOWN)
