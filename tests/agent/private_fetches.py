"""A machine whose private sync databases are fetched. It must not know how a fetch ends."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from apps.agent.pacsync_agent.databases import private_databases
from apps.agent.pacsync_agent.pacman import configuration
from apps.agent.pacsync_agent.pacman.configuration import PacmanConf
from tests.support.pacman import Fleet, Machine

OLD, NEW = "2025/01/01", "2025/02/01"


@dataclass
class Files:
    conf: PacmanConf
    state_dir: Path
    stop: threading.Event = field(default_factory=threading.Event)


def old_machine(directory: Path) -> Machine:
    """A machine of the day OLD; its archive has NEW, too."""
    made = Fleet(directory)
    made.snapshot(OLD, [made.package("app", "1-1")])
    made.snapshot(NEW, [made.package("app", "2-1"), made.package("new", "1-1")])
    return made.machine("m1", OLD)


def files_of(machine: Machine) -> Files:
    directory = machine.directory / "agent"
    directory.mkdir(exist_ok=True)
    return Files(configuration.read(machine.config, None, None), directory)


def point_to(machine: Machine, day: str) -> None:
    """Another day's mirror, without `-Sy`."""
    machine.configure(f"{machine.fleet.base_url}/repos/{day}/$repo/os/$arch")


def versions(found: private_databases.Databases, repository: str = "core") -> dict[str, str]:
    return {package.name: package.version for package in found.readable[repository].packages}
