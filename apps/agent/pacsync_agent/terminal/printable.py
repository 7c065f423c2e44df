"""A text from elsewhere, made safe for a terminal, a log and the server. It must not know where the text came from."""

from __future__ import annotations

from typing import Optional


def printable(text: str, most: Optional[int] = None) -> str:
    """The text as one line of at most `most` characters: a space for a tab, `?` for what isn't printable."""
    return "".join(char if char.isprintable() else " " if char == "\t" else "?" for char in text[:most])


def several_lines(text: str) -> str:
    """The same with its line ends, in full."""
    return "\n".join(map(printable, text.split("\n")))
