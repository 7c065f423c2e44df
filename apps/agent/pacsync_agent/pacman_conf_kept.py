"""pacman's configuration as it was read last, for a machine whose pacman doesn't start: it goes on reporting with it.

It must not know what is done with a configuration.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from pathlib import Path
from typing import Optional

from . import files, no_room, own_directory, pacman_conf
from .errors import Local
from .pacman_conf import PacmanConf

NAME = "pacman-conf.txt"
STANDARD = Path("/etc/pacman.conf")
NOT_STARTED = {"pacman_unusable", "pacman_missing"}


def read(config: Optional[Path], root: Optional[Path], dbpath: Optional[Path], directory: Optional[Path]) -> PacmanConf:
    """As pacman-conf says; where it doesn't start, as it said last, and `unusable` is the reason. Raises Local.

    `directory`: the agent's own, if the command line names one.
    """
    try:
        return pacman_conf.read(config, root, dbpath)
    except Local as error:
        if error.code not in NOT_STARTED:
            raise
        known = directory or own_directory.find(*_places(config, root, dbpath))
        try:
            text = (known / NAME).read_text("utf-8", "surrogateescape")
        except OSError:
            raise error from None
        return dataclasses.replace(pacman_conf.of_text(text, root, dbpath), unusable=error)


def keep(conf: PacmanConf, directory: Path) -> None:
    """Keep what pacman-conf said. There may be no room for it."""
    path = directory / NAME
    content = conf.source.encode("utf-8", "surrogateescape")
    with contextlib.suppress(OSError):
        if not conf.unusable and not (path.is_file() and path.read_bytes() == content):
            no_room.spared(lambda: files.write_atomically(path, content, mode=0o644))


def _places(config: Optional[Path], root: Optional[Path], dbpath: Optional[Path]) -> tuple[Path, Path]:
    """Root and database, by what the file itself says; enough to find the agent's directory."""
    try:
        text = (config or STANDARD).read_text(errors="surrogateescape")
    except OSError:
        text = ""

    def said(key: str) -> Optional[Path]:
        found = re.search(rf"^\s*{key}\s*=\s*(\S.*?)\s*$", text, re.MULTILINE)
        return Path(found[1]) if found else None

    base = root or said("RootDir") or Path("/")
    return base, dbpath or said("DBPath") or base / "var/lib/pacman"
