"""A machine that gathers one package from one mirror, and the answers of mirrors that tests make up."""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.databases.own_databases import OwnDatabases
from apps.agent.pacsync_agent.databases.private_databases import Databases
from apps.agent.pacsync_agent.errors import AgentError, Refused, Unreachable
from apps.agent.pacsync_agent.gather.cache import Cache
from apps.agent.pacsync_agent.gather.candidates import Trust
from apps.agent.pacsync_agent.gather.gatherer import Gatherer
from apps.agent.pacsync_agent.mirrors.network import Limits, Network
from apps.agent.pacsync_agent.mirrors.retry_schedule import Patience
from apps.agent.pacsync_agent.packages.package_file import PackageFile, Wanted
from apps.agent.pacsync_agent.pacman.configuration import PacmanConf, Repository, SigLevel
from apps.agent.pacsync_agent.terminal.output import Output
from apps.agent.pacsync_agent.trust.accepted_checksums import Accepted
from apps.fleet.alpm.repository import OfferedPackage
from tests.support.hostile import Behaviour, endless
from tests.support.pacman import Package

QUICK = Limits(silence=1, head=2, rate=1000, window=1, base=4, undeclared=4, largest=1 << 20)
PATIENCE = 20  # seconds: no case takes longer, even on a busy machine
REQUIRED = SigLevel(required=True, never=False, trust_all=False)
OPTIONAL = SigLevel(required=False, never=False, trust_all=False)
NEVER = SigLevel(required=False, never=True, trust_all=False)
UNREADABLE: list[OfferedPackage] = []


def own(conf: PacmanConf, synced: dict[str, list[OfferedPackage]], current: Databases) -> OwnDatabases:
    """Databases of the machine: its sync databases by repository, and what its mirrors have now."""

    def read(name: str) -> list[OfferedPackage]:
        found = synced.get(name, [])
        if found is UNREADABLE:
            raise ValueError("unreadable")
        return found

    return OwnDatabases(conf, read=read, fetch=lambda names: current)


class GatheringMachine:
    """A machine whose own database has the package, with one mirror."""

    def __init__(self, directory: Path, package: Package, mirror: str, level: SigLevel = NEVER) -> None:
        self.package = package
        self.state_dir, self.cache_dir = directory / "state", directory / "cache"
        self.state_dir.mkdir()
        self.conf = PacmanConf(
            directory, directory, directory / "gnupg", (self.cache_dir,), ("x86_64",), (), (), (), 2, REQUIRED,
            (Repository("core", (mirror,), level),), (),
        )  # fmt: skip
        self.offer([package])

    def offer(self, packages: Iterable[Package]) -> None:
        """Have these packages in its own database."""
        offered = [
            OfferedPackage(one.name, one.version, one.arch, one.path.name, one.sha256, one.path.stat().st_size)
            for one in packages
        ]
        self.offered = offered[0]
        self.databases = own(self.conf, {"core": offered}, Databases())

    def gather(self, *urls: str, limits: Limits = QUICK, sha256: str | None = None, patience: float = 0) -> PackageFile:
        known = (self.package.name, self.package.version, self.package.arch)
        wanted = Wanted(*known, urls=urls, sha256=sha256, repository="core")
        return self.gatherer(limits=limits, patience=patience).gather([wanted])[0]

    def gatherer(self, *, limits: Limits = QUICK, patience: float = 0) -> Gatherer:
        return Gatherer(
            self.conf,
            databases=self.databases,
            trust=Trust(),
            accepted=Accepted(self.state_dir),
            cache=Cache(self.conf, self.state_dir),
            network=Network(threading.Event(), limits=limits, patience=Patience(patience)),
            output=Output(quiet=True),
        )

    def left_behind(self) -> list[Path]:
        return [path for top in (self.state_dir, self.cache_dir) if top.exists() for path in top.rglob("*")]


def refused(machine: GatheringMachine, *urls: str) -> AgentError:
    began = time.monotonic()
    with pytest.raises((Refused, Unreachable)) as error:
        machine.gather(*urls)
    assert time.monotonic() - began < PATIENCE
    assert machine.left_behind() == []
    assert error.value.hint
    return error.value


def begins(head: bytes, piece: bytes, pause: float = 0) -> Callable[[bytes], Behaviour]:
    """Says `head`, then `piece` again and again."""

    return lambda whole: endless(head, piece, pause)


OK = b"HTTP/1.1 200 OK\r\n"
ANOTHER = "its checksum isn't the one that core says"
