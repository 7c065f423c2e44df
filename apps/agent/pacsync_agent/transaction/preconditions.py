"""What has to be true of a machine before its packages are changed. It must not know what changes."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..databases import local_db
from ..databases.local_db import Installed
from ..errors import Local, Refused
from ..packages.package_file import PackageFile
from ..pacman.configuration import PacmanConf
from ..system import disk_space
from ..terminal.listing import listed
from ..terminal.output import human_bytes


def check_root() -> None:
    """Raise Local (`not_root`) unless this process is root's."""
    if os.geteuid() != 0:
        raise Local("not_root", "Only root may change packages.", "Run the command as root (sudo).")


def check_space(conf: PacmanConf, files: Iterable[PackageFile], installed: Installed) -> None:
    """Refuse what would fill the disk. pacman's own CheckSpace is more precise, but comes later and may be off."""
    before = {name: package.size for name, package in installed.items()}
    growth = sum(max(0, file.installed_size - before.get(file.name, 0)) for file in files)
    free = max(disk_space.free(conf.root), disk_space.free(conf.root / "usr"))
    if growth > free:
        raise Refused(
            "disk_full",
            f"The packages need {human_bytes(growth)} more, and {conf.root} has {human_bytes(free)} left.",
            "Free some space and try again.",
        )


def check_entries(conf: PacmanConf) -> None:
    """Refuse while the local database has a package twice: pacman might replace either."""
    found = local_db.duplicates(conf.dbpath)
    if found:
        entries = [entry for name in sorted(found) for entry in found[name]]
        raise Refused(
            "duplicated_entries",
            f"The local database has packages twice: {listed(entries)}.",
            f"Move the directory of the version that isn't on the disk out of {conf.dbpath / 'local'}, and try again.",
        )
