"""What is known of one wanted package on this machine: its evidence, the names its file may have, where it may be had.

It must not read package files, nor open addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Optional

from . import addresses
from .acceptance import Evidence
from .addresses import Address
from .own_databases import OwnDatabases, OwnFile
from .package_file import Wanted
from .pacman_conf import PacmanConf


@dataclass(frozen=True)
class Trust:
    """What the machine's own configuration allows beyond its databases: rules 3 and 4 of docs/agent.md.

    `signed` has the SHA-256 by (name, version, arch) of a revision that a trusted key signed.
    """

    target_files: bool = False
    signed: Mapping[tuple[str, str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """A wanted package with what the machine's own databases say of it at this moment."""

    wanted: Wanted
    evidence: Evidence
    own: tuple[OwnFile, ...]
    repositories: tuple[str, ...]

    @property
    def size(self) -> Optional[int]:
        """The declared size in bytes, by the server where no own database has the file; None: nobody declares one."""
        sizes = [file.size for file in self.own]
        if sizes and None not in sizes:
            return max(size for size in sizes if size is not None)
        return None if self.own else self.wanted.size

    def is_too_large(self, largest: int) -> bool:
        """Whether the server alone declares it, as larger than any package for which nobody here vouches."""
        return not self.own and (self.wanted.size or 0) > largest

    def kept_as(self, source: Address) -> str:
        """The name under which an accepted file from that address is kept."""
        wanted = self.wanted
        return self.own[0].filename if self.own else addresses.kept_as(wanted.name, wanted.version, wanted.arch, source)

    def _to_ask(self) -> tuple[str, ...]:
        wanted = self.wanted
        named = tuple(dict.fromkeys(file.filename for file in self.own))
        return named or addresses.names_to_ask(wanted.name, wanted.version, wanted.arch, wanted.filename)

    def cached_names(self) -> Iterator[str]:
        """The names that its file may have in a cache, the likeliest first."""
        wanted = self.wanted
        names = (*self._to_ask(), *addresses.every_name(wanted.name, wanted.version, wanted.arch))
        yield from dict.fromkeys(names)

    def sources(self, conf: PacmanConf) -> tuple[list[Address], list[str]]:
        """Where to ask for it, in order, and what is wrong with the other addresses that the server named."""
        found: list[Address] = []
        for name in self.repositories:
            repository = next((one for one in conf.repositories if one.name == name), None)
            for servers in (repository.cache_servers, repository.servers) if repository else ():
                found += addresses.own(servers, self._to_ask(), known=bool(self.own))
        theirs, refused = addresses.of_server(self.wanted.urls, set(self.cached_names()))
        shown = {str(address) for address in found}
        found += [address for address in theirs if str(address) not in shown]
        # What this machine's mirrors are known by on the server has no credentials, and is no answer to complain about.
        refused = [text for text in refused if text.partition(": ")[0] not in shown]
        return list(dict.fromkeys(found)), refused


def of(
    wanted: Wanted, conf: PacmanConf, databases: OwnDatabases, trust: Trust, accepted: frozenset[str] = frozenset()
) -> Candidate:
    """What is known of the package now; after `databases.refresh()` it may be more. `accepted`: as in Evidence."""
    key = (wanted.name, wanted.version, wanted.arch)
    own = tuple(databases.files(*key))
    evidence = Evidence(
        level=databases.level_of(wanted.name, own, wanted.repository),
        own=tuple(dict.fromkeys(file.sha256 for file in own if file.sha256)),
        signed=trust.signed.get(key),
        target=wanted.sha256,
        trust_target=trust.target_files,
        accepted=accepted,
        repository=next((file.repository for file in own if file.sha256), ""),
    )
    return Candidate(wanted, evidence, own, _repositories(wanted, conf, databases, own))


def _repositories(
    wanted: Wanted, conf: PacmanConf, databases: OwnDatabases, own: tuple[OwnFile, ...]
) -> tuple[str, ...]:
    """Those whose mirrors may have the file: that have exactly it, else that offer the name or that the target names;
    where nobody knows, or the machine has no repository of that name, all."""
    configured = [one.name for one in conf.repositories]
    exact = [file.repository for file in own]
    likely = [name for name in exact or (databases.repository_of(wanted.name), wanted.repository) if name in configured]
    return tuple(dict.fromkeys(likely or configured))
