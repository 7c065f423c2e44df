"""The packages that a plan takes away and that can't be installed again, or only from an archive.

It must not know whether the plan is carried out or ask other machines.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from apps.fleet.alpm.state import InstalledPackage

from ..databases.own_databases import OwnDatabases
from ..pacman.configuration import PacmanConf
from ..terminal.listing import named
from ..trust import target_files
from . import candidates
from .cache import Cache
from .candidates import Trust


class Lost(NamedTuple):
    """`for_good`: nothing that this machine trusts vouches for a file from elsewhere, so no archive helps."""

    package: InstalledPackage
    for_good: bool


def lost(
    going: Iterable[InstalledPackage], conf: PacmanConf, databases: OwnDatabases, trust: Trust, cache: Cache
) -> list[Lost]:
    """Those of these packages that neither a cache nor a repository of this machine has."""
    found = []
    for package in going:
        candidate = candidates.of(target_files.of_packages([package], ())[0], conf, databases, trust)
        if not candidate.own and next(iter(cache.files(candidate.cached_names())), None) is None:
            found.append(Lost(package, not candidate.evidence.may_be_downloaded()))
    return found


def sentences(found: Iterable[Lost]) -> list[str]:
    """The warnings about them."""
    found = list(found)
    texts = []
    for_good = [f"{one.package.name} {one.package.version}" for one in found if one.for_good]
    if for_good:
        texts.append(
            f"No way back to {named(for_good)}: no cache and no repository of this machine has "
            f"{_files(for_good)}, and nothing that it trusts vouches for one from elsewhere. What is installed now "
            "can't be reached again."
        )
    archived = [f"{one.package.name} {one.package.version}" for one in found if not one.for_good]
    if archived:
        texts.append(
            f"A way back to {named(archived)} is only in an archive: no cache and no repository of this machine "
            f"has {_files(archived)}."
        )
    return texts


def _files(names: list[str]) -> str:
    return "its file" if len(names) == 1 else "their files"
