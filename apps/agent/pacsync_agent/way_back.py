"""Which of the packages that a plan takes away can't be had again, or from an archive alone: said before the sync.

It must not know whether the plan is carried out, nor ask other machines.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from apps.fleet.alpm.state import InstalledPackage

from . import candidates, wanted
from .acceptance import named
from .cache import Cache
from .candidates import Trust
from .own_databases import OwnDatabases
from .pacman_conf import PacmanConf


class Lost(NamedTuple):
    """`for_good`: nothing that this machine trusts vouches for a file from elsewhere. Others an archive may have."""

    package: InstalledPackage
    for_good: bool


def lost(
    going: Iterable[InstalledPackage], conf: PacmanConf, databases: OwnDatabases, trust: Trust, cache: Cache
) -> list[Lost]:
    """Those of these packages whose files neither a cache of the machine nor one of its repositories has."""
    found = []
    for package in going:
        candidate = candidates.of(wanted.of_packages([package], ())[0], conf, databases, trust)
        if not candidate.own and next(iter(cache.files(candidate.cached_names())), None) is None:
            found.append(Lost(package, not candidate.evidence.may_be_downloaded()))
    return found


def sentences(found: Iterable[Lost]) -> list[str]:
    """What is to be said of them; empty where there are none."""
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
            f"A way back to {named(archived)} leads over an archive alone: no cache and no repository of this machine "
            f"has {_files(archived)}."
        )
    return texts


def _files(names: list[str]) -> str:
    return "its file" if len(names) == 1 else "their files"
