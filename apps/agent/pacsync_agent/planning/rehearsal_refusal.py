"""Why a target doesn't fit this machine, and what helps: by the package that stays, and why it stays.

It must not know how a rehearsal is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, Optional

from ..errors import Refused
from ..terminal.listing import listed, named
from . import plan

SHOWN = 5  # reasons in a message
_NOT_FITTING = "Hold or exclude the packages named here, or set a target that fits this machine."
_CRASHED = "See in `dmesg` or `coredumpctl` why pacman itself crashed."
_PATTERNS = (
    re.compile(
        r"(?:installing|removing) (?P<by>\S+)(?: \(\S+\))? breaks dependency '(?P<dependency>.+)' "
        r"required by (?P<name>\S+)$"
    ),
    re.compile(r"unable to satisfy dependency '(?P<dependency>.+)' required by (?P<name>\S+)$"),
    re.compile(r"missing '(?P<dependency>.+)' dependency for '(?P<name>.+)'"),
)


class RehearsalFailed(Refused):
    """`said` lists the reasons against the target, first cause first; `log` is pacman's whole output.

    `crashed`: pacman itself crashed, so there is nothing against the target.
    """

    def __init__(self, said: Sequence[str], log: str = "", crashed: bool = False) -> None:
        reasons = listed(said, most=SHOWN)
        text = f"{reasons}: so the target doesn't fit this machine (a rehearsal on a copy of the package database)."
        if crashed:
            text = f"pacman could not rehearse it on a copy of the package database: {reasons}."
        super().__init__("rehearsal_failed", text, f"Nothing was changed. {_CRASHED if crashed else _NOT_FITTING}")
        self.said = list(said)
        self.log = log


class BrokenDependency(NamedTuple):
    """The package `name` needs `dependency`, which `by` (empty if unknown) takes away."""

    name: str
    dependency: str
    by: str


def broken(said: Iterable[str]) -> list[BrokenDependency]:
    """The dependencies that would break, by pacman's output."""
    found = [match for line in said for pattern in _PATTERNS if (match := pattern.match(line))]
    return [BrokenDependency(one["name"], one["dependency"], one.groupdict().get("by") or "") for one in found]


def hint_of(
    said: Iterable[str], *, staying: Collection[str], held: Collection[str], is_foreign: Callable[[str], bool]
) -> Optional[str]:
    """What to do; None if only the general advice is left.

    `staying`: installed packages that the plan doesn't touch; `held`: patterns of IgnorePkg.
    """
    needing = [one for one in broken(said) if one.name in staying]
    on_hold = set(plan.matching([one.name for one in needing], held))
    foreign = [one for one in needing if one.name not in on_hold and is_foreign(one.name)]
    texts = []
    if foreign:
        names = sorted({one.name for one in foreign})
        them, stay = ("them", "they are") if len(names) > 1 else ("it", "it is")
        command = f"`pacman -R {' '.join(names)}`"
        texts.append(
            f"No repository of this machine has {_names(names)}, so a sync leaves {them} as {stay}, built against what "
            f"is here now ({_needs(foreign)}). Remove {them} with {command}, sync, and install a new build; or exclude "
            f"{_causes(foreign)} in the pool."
        )
    if on_hold:
        waiting, several = [one for one in needing if one.name in on_hold], len(on_hold) > 1
        verbs = ("are", "need") if several else ("is", "needs")
        texts.append(
            f"{_names(on_hold)} {verbs[0]} held here (IgnorePkg), and {verbs[1]} {_needs(waiting)}: lift the hold, or "
            f"exclude {_causes(waiting)} in the pool. Then sync again."
        )
    return f"Nothing was changed. {' '.join(texts)}" if texts else None


def _needs(found: Iterable[BrokenDependency]) -> str:
    return _names(one.dependency for one in found)


def _causes(found: Collection[BrokenDependency]) -> str:
    return _names(one.by or one.dependency for one in found)


def _names(names: Iterable[str]) -> str:
    return named(set(names))
