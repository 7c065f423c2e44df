"""pacman's configuration as last read, so that a machine whose pacman doesn't start continues to report.

It must not know what is done with a configuration.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from pathlib import Path
from typing import Optional

from ..errors import Local
from ..system import disk_full, files, own_directory
from . import configuration
from .configuration import PacmanConf

NAME = "pacman-conf.txt"
STANDARD = Path("/etc/pacman.conf")
NOT_STARTED = {"pacman_unusable", "pacman_missing"}


def read(config: Optional[Path], root: Optional[Path], dbpath: Optional[Path], directory: Optional[Path]) -> PacmanConf:
    """The configuration; where pacman-conf doesn't start, the last known one and the reason (`unusable`). Raises Local.

    `directory`: the agent's own, if the command line names one.
    """
    try:
        return configuration.read(config, root, dbpath)
    except Local as error:
        if error.code not in NOT_STARTED:
            raise
        known = directory or own_directory.find(*_places(config, root, dbpath))
        try:
            text = (known / NAME).read_text("utf-8", "surrogateescape")
        except OSError:
            raise error from None
        return dataclasses.replace(configuration.of_text(text, root, dbpath), unusable=error)


def keep(conf: PacmanConf, directory: Path) -> None:
    """Keep the output of pacman-conf, if there is room for it."""
    path = directory / NAME
    content = conf.source.encode("utf-8", "surrogateescape")
    with contextlib.suppress(OSError):
        if not conf.unusable and not (path.is_file() and path.read_bytes() == content):
            disk_full.spared(lambda: files.write_atomically(path, content, mode=0o644))


def _places(config: Optional[Path], root: Optional[Path], dbpath: Optional[Path]) -> tuple[Path, Path]:
    """Root and database according to the file itself; enough to find the agent's directory."""
    try:
        text = (config or STANDARD).read_text(errors="surrogateescape")
    except OSError:
        text = ""

    def said(key: str) -> Optional[Path]:
        found = re.search(rf"^\s*{key}\s*=\s*(\S.*?)\s*$", text, re.MULTILINE)
        return Path(found[1]) if found else None

    base = root or said("RootDir") or Path("/")
    return base, dbpath or said("DBPath") or base / "var/lib/pacman"
