"""A machine whose packages are protected, and plans for it. It must not know which of them are refused."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.databases import local_db
from apps.agent.pacsync_agent.errors import Refused
from apps.agent.pacsync_agent.packages import package_file
from apps.agent.pacsync_agent.pacman import configuration
from apps.agent.pacsync_agent.planning import plan
from apps.agent.pacsync_agent.protection import permission
from apps.agent.pacsync_agent.settings import PROTECT
from apps.fleet.alpm.state import InstalledPackage
from tests.support.pacman import Fleet, Machine, Package

DAY = "2025/01/01"


class World:
    """A machine with these packages; `sync` asks for permission to bring it to other ones."""

    def __init__(self, path: Path, packages: Iterable[Package], fleet: Fleet) -> None:
        self.fleet = fleet
        packages = list(packages)
        fleet.snapshot(DAY, packages)
        self.machine: Machine = fleet.machine("m", DAY)
        self.machine.install(*(package.name for package in packages))
        self.conf = configuration.read(self.machine.config, None, None)
        self.state_dir = path / "state"
        self.state_dir.mkdir()

    def sync(
        self, *names: str, new: Iterable[Package] = (), words: tuple[str, ...] = PROTECT, forced: Iterable[str] = ()
    ) -> None:
        """Go to the installed packages of these names and the new ones. Raises Refused."""
        installed, new = local_db.read(self.conf.dbpath), list(new)
        goal = [installed[name].as_installed() for name in names]
        goal += [InstalledPackage(package.name, package.version, package.arch, "explicit") for package in new]
        guarded = permission.protected(self.conf, self.state_dir, installed, words)
        permission.check(
            self.conf,
            guarded,
            installed=installed,
            steps=plan.make(installed, goal),
            new=[package_file.read(package.path) for package in new],
            forced=list(forced),
        )

    def refused(self, *names: str, **options: object) -> Refused:
        with pytest.raises(Refused) as error:
            self.sync(*names, **options)  # type: ignore[arg-type]  # handed on as they are
        return error.value

    def write(self, path: str, text: str = "") -> None:
        file = self.machine.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
