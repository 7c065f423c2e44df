"""A text from elsewhere, made safe for a terminal, a log and the server. It must not know where the text came from."""

from __future__ import annotations

from typing import Optional


def printable(text: str, most: Optional[int] = None) -> str:
    """The text as one line, with a question mark for each unprintable character; `most` characters at most."""
    return "".join(char if char.isprintable() else "?" for char in text[:most])
