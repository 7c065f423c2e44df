"""Finds .pacsave and .pacnew files after a revert, because the admin has to merge them. It must not know operations.

pacman itself doesn't mention a .pacsave when the package comes back, nor a .pacnew that is older than the new files.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable

from ..databases import local_db
from ..pacman.configuration import PacmanConf

_MOST = 10


def warnings(conf: PacmanConf, names: Collection[str], said: Iterable[str] = ()) -> tuple[str, ...]:
    """One sentence for each .pacsave and .pacnew of the configuration files of these packages.

    `said`: the warnings so far; a file that one of them names is left out. Raises nothing.
    """
    known = "\n".join(said)
    installed = local_db.read(conf.dbpath)
    found = []
    for name in sorted(set(names) & installed.keys()):
        try:
            _, backup = local_db.read_files(conf.dbpath / "local" / f"{name}-{installed[name].version}")
        except OSError:
            continue
        for path in sorted(backup):
            full = os.path.join(conf.root, path)
            found += [text for text in _texts(full) if text.partition(" ")[0] not in known]
    more = len(found) - _MOST
    return (*found[:_MOST], *([f"and {more} more .pacsave and .pacnew files"] if more > 0 else []))


def _texts(path: str) -> list[str]:
    texts = []
    if os.path.lexists(f"{path}.pacsave"):
        texts.append(f"{path}.pacsave is there: your version of {path}, from when its package was removed")
    if os.path.lexists(f"{path}.pacnew"):
        texts.append(f"{path}.pacnew is there: it may come from the version that was reverted")
    return texts
