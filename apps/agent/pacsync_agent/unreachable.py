"""Packages that weren't had because mirrors or the network failed: which of the two it was, and the error for it.

It must not download, nor know what is wrong with a file that came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

from .acceptance import named
from .errors import Unreachable
from .network import MIRROR, NotThere, Refusal
from .package_file import Wanted

HINT = (
    "Nothing was changed. What the server has asked for is tried again by itself, after growing pauses; else run the "
    "command again. If it stays so, {remedy}."
)


def failure(refused: Mapping[Wanted, NotThere]) -> Optional[Unreachable]:
    """The error where every one of these packages may be somewhere that fails at the moment; else None.

    A package that no address has (404, 410) can't be had from anywhere, whatever happens to the others.
    """
    failing = [one for error in refused.values() for one in error.failing]
    if not failing or not all(error.failing for error in refused.values()):
        return None
    mirrors = [one for one in failing if one[1].kind == MIRROR]
    return _error([str(wanted) for wanted in refused], (mirrors or failing)[0], mirror=bool(mirrors))


def _error(names: list[str], first: tuple[str, Refusal], *, mirror: bool) -> Unreachable:
    where, refusal = first
    missing = f"Not downloaded: {named(names)}."
    if mirror:
        remedy = "name another mirror in pacman.conf"
        return Unreachable("mirror_failed", f"{where}: {refusal}. {missing}", HINT.format(remedy=remedy))
    remedy = "look at the network and the name service of this machine, or name another mirror in pacman.conf"
    return Unreachable("network_failed", f"{where}: {refusal}. {missing}", HINT.format(remedy=remedy))


def too_long(seconds: float) -> Unreachable:
    """All downloads together have taken too much time."""
    return Unreachable(
        "mirror_failed",
        f"The mirrors are too slow: the downloads took longer than {seconds / 3600:.0f} hours.",
        "Name faster mirrors in pacman.conf, and try again: the files that came are kept.",
    )
