"""What this machine knows about one wanted package: its evidence, its possible file names, its addresses.

It must not read package files or open addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Optional

from ..databases.own_databases import OwnDatabases, OwnFile
from ..mirrors import addresses
from ..mirrors.addresses import Address
from ..packages.package_file import Wanted
from ..pacman.configuration import PacmanConf
from ..trust.acceptance import Evidence


@dataclass(frozen=True)
class Trust:
    """What the machine's own configuration allows beyond its databases: rules 3 and 4 of docs/agent.md.

    `signed` has the SHA-256 by (name, version, arch) of a revision that a trusted key signed.
    """

    target_files: bool = False
    signed: Mapping[tuple[str, str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """A wanted package with what the machine's own databases have of it now."""

    wanted: Wanted
    evidence: Evidence
    own: tuple[OwnFile, ...]
    repositories: tuple[str, ...]

    @property
    def size(self) -> Optional[int]:
        """The declared size in bytes, by the server where no own database has the file; None if nobody declares one."""
        sizes = [file.size for file in self.own]
        if sizes and None not in sizes:
            return max(size for size in sizes if size is not None)
        return None if self.own else self.wanted.size

    def is_too_large(self, largest: int) -> bool:
        """Whether only the server knows the package, and declares it as larger than allowed for such a one."""
        return not self.own and (self.wanted.size or 0) > largest

    def kept_as(self, source: Address) -> str:
        """The file name in the cache for an accepted file from that address."""
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
        """Its addresses in order, and what is wrong with the other addresses that the server named."""
        found: list[Address] = []
        for name in self.repositories:
            repository = next((one for one in conf.repositories if one.name == name), None)
            for servers in (repository.cache_servers, repository.servers) if repository else ():
                found += addresses.own(servers, self._to_ask(), known=bool(self.own))
        theirs, refused = addresses.of_server(self.wanted.urls, set(self.cached_names()))
        shown = {str(address) for address in found}
        found += [address for address in theirs if str(address) not in shown]
        # The server has this machine's own mirrors without credentials; those are not reported as refused.
        refused = [text for text in refused if text.partition(": ")[0] not in shown]
        return list(dict.fromkeys(found)), refused


def of(
    wanted: Wanted, conf: PacmanConf, databases: OwnDatabases, trust: Trust, accepted: frozenset[str] = frozenset()
) -> Candidate:
    """What is known about the package now; after `databases.refresh()` it may be more. `accepted`: as in Evidence."""
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
    """The repositories whose mirrors may have the file: those with exactly this package, else the one that has the name
    and the one that the target names; all, if none of these is configured here."""
    configured = [one.name for one in conf.repositories]
    exact = [file.repository for file in own]
    likely = [name for name in exact or (databases.repository_of(wanted.name), wanted.repository) if name in configured]
    return tuple(dict.fromkeys(likely or configured))
