"""Texts from elsewhere, made safe for a terminal and a log. Standard library only; it must not know where they go.

A character counts as safe if `str.isprintable` says so: no controls (C0, DEL, C1), no formatting characters (which
include those that turn the direction of writing around), no separators of lines, no lone surrogates.
"""


def one_line(text: str) -> str:
    """The text with an escape (`\\x1b`, `\\n`, `\\u202e`) for each character that isn't safe."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def several_lines(text: str) -> str:
    """The same, but line ends and tabs stay."""
    return "".join(char if char.isprintable() or char in "\n\t" else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
