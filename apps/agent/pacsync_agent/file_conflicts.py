"""Says what is in the way when pacman finds files that already exist, who owns it, and what helps.

It must not know why pacman was run. pacman names an owner only where another package has the same file; where a
directory and a symbolic link change places, it names none, although a package owns what is there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from .errors import Failed
from .pacman import Run
from .pacman_conf import PacmanConf

_LINE = re.compile(r"^(\S+): (/.*) exists in filesystem(?: \(owned by (.*)\))?$", re.MULTILINE)
_MOST = 10
# A directory of more packages than that is everybody's: taking them all away for a moment is no remedy.
_FEW = 3


@dataclass(frozen=True)
class Conflict:
    """`path`, in the way of `package`; `other`: the package that pacman says has the same file; empty: none."""

    package: str
    path: str
    other: str


def of(run: Run) -> list[Conflict]:
    """What pacman found in its way; empty when it stumbled over something else."""
    return [Conflict(package, path, other or "") for package, path, other in _LINE.findall(run.output)]


def owners(dbpath: Path, paths: Iterable[str]) -> set[str]:
    """The installed packages that own one of these paths (relative to the root), as a file, link or directory."""
    wanted = {os.fsencode(path.strip("/")) for path in paths}
    found = set()
    for entry in os.scandir(dbpath / "local"):
        try:
            lines = (Path(entry.path) / "files").read_bytes().splitlines()
        except OSError:
            continue
        if any(line.rstrip(b"/") in wanted for line in lines):
            found.add(entry.name.rsplit("-", 2)[0])
    return found


def failure(run: Run, conf: PacmanConf) -> Failed:
    """The error for a person: what is in the way of what, and the remedy for its kind."""
    conflicts = of(run)
    shared = [one for one in conflicts if one.other]
    unnamed = [one for one in conflicts if not one.other]
    root = str(conf.root).rstrip("/")
    owning = owners(conf.dbpath, (one.path[len(root) :] for one in unnamed))
    text = f"pacman found files in its way: {_listed(conflicts)}."
    if owning:
        names = " ".join(sorted(owning)[:_MOST])
        text += f" What is there belongs to {names}: a directory and a link change places, too much for one step."
        hint = f"Run `pacman -Rdd {names}`, then `pacsync-agent sync`. Moved away by hand, files would be missing."
        if len(owning) > _FEW:
            hint = "Look for the way that these packages' news name (https://archlinux.org/news/), then sync again."
    elif shared:
        hint = "Exclude one of the packages in the pool, or set a target in which only one of them has the file."
    else:
        hint = "Move those files away (no package owns them), and try again."
    return Failed("file_conflict", text, hint)


def _listed(conflicts: Collection[Conflict]) -> str:
    """In pacman's own words."""
    words = [
        f"{one.package}: {one.path} exists in filesystem" + (f" (owned by {one.other})" if one.other else "")
        for one in list(conflicts)[:_MOST]
    ]
    return "; ".join(words) + (f" and {len(conflicts) - _MOST} more" if len(conflicts) > _MOST else "")
