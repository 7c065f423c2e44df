"""Which of the machine's own sync databases count, by the real pacman: those that it takes, and no other."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.agent.pacsync_agent.databases import sync_databases
from apps.agent.pacsync_agent.pacman import configuration
from apps.agent.pacsync_agent.pacman.configuration import PacmanConf
from tests.support.keys import Keys
from tests.support.pacman import Fleet

pytestmark = [pytest.mark.needs("pacman"), pytest.mark.needs("gpg")]
DAY = "2025/01/01"


class Own:
    """A machine whose database is signed by `key`, which its keyring trusts."""

    def __init__(self, directory: Path, level: str) -> None:
        self.fleet = Fleet(directory)
        self.packager = Keys(directory / "packager")
        self.key = self.packager.make("packager")
        self.packager.sign(self.fleet.snapshot(DAY, [self.fleet.package("tool", "1-1")]), self.key)
        machine = self.fleet.machine("m1", DAY, trusting=False)
        self.keys = Keys(machine.directory / "gnupg")
        self.keys.learn(self.packager.export(self.key), self.key)
        server = f"{self.fleet.base_url}/repos/{DAY}/$repo/os/$arch"
        machine.configure(server, "SigLevel = PackageNever DatabaseRequired")
        machine.pacman("-Syy")
        machine.configure(server, f"SigLevel = PackageNever {level}")
        self.machine, self.state_dir, self.stop = machine, machine.directory, threading.Event()
        self.path = machine.dbpath / "sync/core.db"
        self.signature = machine.dbpath / "sync/core.db.sig"

    @property
    def conf(self) -> PacmanConf:
        return configuration.read(self.machine.config, None, None)

    def is_taken(self) -> bool:
        taken = sync_databases.taken(self, "core")
        try:
            read = bool(sync_databases.read(self, "core"))
        except ValueError:
            read = False
        assert read is (taken is not None)
        return read

    def replace(self) -> None:
        """Other content under the same signature, of the same time."""
        found = self.path.stat()
        self.path.write_bytes(self.fleet.snapshot("2025/02/01", [self.fleet.package("tool", "2-1")]).read_bytes())
        os.utime(self.path, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.fixture
def make(tmp_path: Path) -> Iterator[object]:
    made: list[Own] = []

    def make(level: str) -> Own:
        made.append(Own(tmp_path, level))
        return made[-1]

    yield make
    for one in made:
        one.packager.stop()
        one.keys.stop()


Make = Callable[[str], Own]
# By level: with a good signature, without one, with that of other content.
LEVELS = {
    "DatabaseRequired": (True, False, False),
    "DatabaseOptional": (True, True, False),
    "DatabaseNever": (True, True, True),
}


@pytest.mark.parametrize("level", LEVELS)
def test_sync_database_counts_as_pacman_takes_it(make: Make, level: str) -> None:
    own = make(level)
    good, without, other = LEVELS[level]
    assert own.is_taken() is good
    signature = own.signature.read_bytes()
    own.signature.unlink()
    assert own.is_taken() is without
    own.signature.write_bytes(signature)
    own.replace()
    assert own.is_taken() is other
    assert ("core" in own.machine.pacman("-Sl", "core", check=False).splitlines()[0].split()) is other


def test_sync_database_of_no_repository_or_that_is_missing_does_not_count(make: Make) -> None:
    own = make("DatabaseRequired")
    assert sync_databases.taken(own, "elsewhere") is None
    own.path.unlink()
    assert not own.is_taken()


def test_what_pacman_said_is_kept_until_something_changes(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    own = make("DatabaseRequired")
    asked = []
    ask = sync_databases.ask_pacman

    def counting(*arguments: Any) -> bool | None:
        asked.append(arguments)
        return ask(*arguments)

    monkeypatch.setattr(sync_databases, "ask_pacman", counting)
    assert own.is_taken() and own.is_taken() and len(asked) <= 2  # gpg may write its trust database the first time
    before = len(asked)
    assert own.is_taken() and len(asked) == before
    own.keys.gpg("--delete-keys", own.key)  # the admin trusts it no longer
    assert not own.is_taken() and len(asked) > before
    own.keys.learn(own.packager.export(own.key), own.key)
    assert own.is_taken()
    own.replace()
    assert not own.is_taken()
    before = len(asked)
    assert not own.is_taken() and len(asked) <= before + 1
