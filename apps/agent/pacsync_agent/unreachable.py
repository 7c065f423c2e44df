"""Packages that weren't had because mirrors or the network failed: which of the two it was, and the error for it.

It must not download, nor know what is wrong with a file that came.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Optional

from .acceptance import named
from .errors import Unreachable
from .network import MIRROR, NotThere
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
    mirror = any(one.kind == MIRROR for _, one in failing)
    # All addresses of one package, the machine's own mirrors first: one that has no such file is part of the cause.
    first = next((error for error in refused.values() if any(one.kind == MIRROR for _, one in error.failing)), None)
    said = str(first or next(iter(refused.values())))
    message = f"{said}. Not downloaded: {named([str(wanted) for wanted in refused])}."
    if mirror:
        return Unreachable("mirror_failed", message, HINT.format(remedy="name another mirror in pacman.conf"))
    remedy = "look at the network and the name service of this machine, or name another mirror in pacman.conf"
    return Unreachable("network_failed", message, HINT.format(remedy=remedy))


def databases(reasons: Mapping[str, str], names: Collection[str]) -> Unreachable:
    """The error for packages that nothing vouches for while the current databases can't be had, by repository."""
    first = next(iter(reasons.values()))
    several = len(reasons) > 1
    what = f"The current database{'s' if several else ''} of {named(reasons)} can't be had: {first}."
    without = f"Without {'them' if several else 'it'} nothing that this machine trusts vouches for {named(names)}."
    remedy = "look at the mirrors in pacman.conf, and at the network and the name service of this machine"
    return Unreachable("databases_unreadable", f"{what} {without}", HINT.format(remedy=remedy))


def too_long(seconds: float) -> Unreachable:
    """All downloads together have taken too much time."""
    return Unreachable(
        "mirror_failed",
        f"The mirrors are too slow: the downloads took longer than {seconds / 3600:.0f} hours.",
        "Name faster mirrors in pacman.conf, and try again: the files that came are kept.",
    )
