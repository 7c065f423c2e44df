"""Fetches current sync databases from the machine's own mirrors into a private directory, as checkupdates does.

It must not know servers or touch the machine's own databases: `pacman -Sy` on those alone would make the machine's
next `-S` a partial upgrade. pacman fetches under the machine's own options, mirrors and SigLevel, so a database
whose required signature isn't trusted is not read.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import urllib.parse
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from apps.fleet.alpm import syncdb
from apps.fleet.alpm.repository import OfferedPackage

from ..pacman import bounded_process
from ..pacman.configuration import PacmanConf, Repository
from ..system import disk_full, files, parallel
from ..system.combined_event import EitherEvent

TIME_LIMIT = 120.0  # seconds for all databases of one call together
LARGEST = 256 << 20  # bytes of one database
AT_ONCE = 4
RETRY = 900.0  # seconds after which a remembered failure is tried again in any case
MEMORY = "fetched.json"
TOOK_LONGER = "its mirrors took longer"
NOT_GIVEN = "no mirror gives a valid one"
# Options of the machine itself, and Usage, which could keep pacman from fetching the database.
_LEFT_OUT = {"RootDir", "DBPath", "CacheDir", "LogFile", "HookDir", "CheckSpace", "UseSyslog", "Usage"}


class MachineFiles(Protocol):
    """What this module needs of a machine: its configuration, and the agent's own directory on it.

    If it has an Event named `stop`, that ends the fetching.
    """

    @property
    def conf(self) -> PacmanConf: ...

    @property
    def state_dir(self) -> Path: ...


@dataclass(frozen=True)
class Database:
    """One sync database that pacman accepts: its packages, sorted by name, and where it lies."""

    repository: str
    packages: tuple[OfferedPackage, ...]
    path: Path = Path(os.devnull)


@dataclass
class Databases:
    """`readable` by repository; `reasons` says in one clause why each of the others could not be fetched.

    The clauses don't quote pacman, whose messages may contain passwords of mirrors.
    """

    readable: dict[str, Database] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def passing(self) -> dict[str, str]:
        """The `reasons` that may pass by themselves: about mirrors and the network, not about the machine."""
        return {name: reason for name, reason in self.reasons.items() if reason.startswith((NOT_GIVEN, TOOK_LONGER))}


class _NotFetched(Exception):
    """The database could not be fetched; the text says why."""


def fetch(machine: MachineFiles, repositories: Iterable[str], *, max_age: float = 0) -> Databases:
    """The current databases of these repositories of the machine's pacman.conf.

    `max_age` in seconds: a younger database, or a younger failure (up to RETRY), is used again. Raises OSError when the
    directory can't be written. Only one agent at a time may call this.
    """
    configured = {repository.name: repository for repository in machine.conf.repositories}
    wanted = list(dict.fromkeys(repositories))
    found = Databases(reasons=dict.fromkeys(wanted, "it is not in this machine's pacman.conf"))
    fetching = Fetching(machine, max_age)
    names = [name for name in wanted if name in configured]
    results = parallel.each(
        lambda name: fetching.one(configured[name]),
        names,
        workers=AT_ONCE,
        fatal=lambda error: not isinstance(error, _NotFetched),
        cancel=fetching.cancel,
    )
    for name, result in results.items():
        if isinstance(result, Database):
            found.readable[name] = result
            del found.reasons[name]
        else:
            found.reasons[name] = str(result)
    return found


def directory_of(state_dir: Path) -> Path:
    """Where the private databases are."""
    return state_dir / "databases"


class Fetching:
    """One call of `fetch`: whose machine, and the time that is left."""

    def __init__(self, machine: MachineFiles, max_age: float) -> None:
        self.conf, self.max_age = machine.conf, max_age
        self.directory = directory_of(machine.state_dir)
        self.cancel = threading.Event()
        self.stop = EitherEvent(getattr(machine, "stop", None) or threading.Event(), self.cancel)
        self.deadline = time.monotonic() + TIME_LIMIT

    def one(self, repository: Repository) -> Database:
        """The database, fetched unless that was tried recently. Raises _NotFetched, OSError."""
        try:
            return self._one(repository)
        except OSError as error:
            if not disk_full.is_it(error):
                raise
            raise _NotFetched(f"{self.directory} has no room: {disk_full.figures(self.directory)}") from None

    def _one(self, repository: Repository) -> Database:
        # A DBPath for each, so that no pacman waits for another's lock. Everybody may enter it: pacman 7 downloads as
        # another user.
        dbpath = self.directory / f"repository-{urllib.parse.quote(repository.name, safe='')}"
        (dbpath / "sync").mkdir(parents=True, exist_ok=True, mode=0o755)
        path = dbpath / "sync" / f"{repository.name}.db"
        section = [list(line) for line in repository.lines]
        known = self._known(dbpath)
        if known.get("section") != section:  # other mirrors
            known = {}
        reason = str(known.get("reason", ""))
        if not self._is_fresh(known) or not (reason or path.exists()):
            reason = self._fetch(repository, dbpath, path)
            if self.stop.is_set():  # says nothing of the mirrors, so it isn't remembered
                raise _NotFetched(reason or "it was asked to stop")
            files.keep_json(dbpath / MEMORY, {"at": time.time(), "section": section, "reason": reason})
        if reason:
            raise _NotFetched(reason)
        try:
            return Database(repository.name, tuple(syncdb.read(path)), path)
        except (OSError, ValueError):
            _clear(dbpath)
            raise _NotFetched("it can't be read") from None

    def _known(self, dbpath: Path) -> dict[str, Any]:
        try:
            return files.read_json(dbpath / MEMORY) or {}
        except ValueError:
            return {}

    def _is_fresh(self, known: dict[str, Any]) -> bool:
        at, max_age = known.get("at"), min(self.max_age, RETRY) if known.get("reason") else self.max_age
        return isinstance(at, (int, float)) and 0 <= time.time() - at < max_age

    def _fetch(self, repository: Repository, dbpath: Path, path: Path) -> str:
        """Fetch it; empty, or the reason why that failed."""
        if not repository.servers:
            return "it has no mirror"
        _clear(dbpath)  # a lock and parts of a pacman that was killed here
        # Forget the last result until pacman has accepted the new database: this run may be killed in between.
        (dbpath / MEMORY).unlink(missing_ok=True)
        config = self._write_config(repository, dbpath)
        # -yy: a mirror may have gone back to an older day.
        reason = self.run_pacman(NOT_GIVEN, config, "-Syy")
        if not reason:  # the file is there even if its signature isn't trusted, but then pacman doesn't read it
            said = "pacman doesn't take it: its signature is not valid, or it is damaged"
            reason = self.run_pacman(said, config, "-Sl", repository.name)
        if reason or not path.exists():
            _clear(dbpath)
            return reason or "pacman did not fetch it"
        return ""

    def _write_config(self, repository: Repository, dbpath: Path) -> Path:
        """A configuration with this one repository; for root alone, because mirrors may have passwords."""
        lines = [
            "[options]",
            f"RootDir = {dbpath}",
            f"DBPath = {dbpath}",
            f"CacheDir = {dbpath}",
            f"HookDir = {dbpath}",
        ]
        lines += ["LogFile = /dev/null", *_lines(self.conf.options)]
        lines += [f"[{repository.name}]", *_lines(repository.lines)]
        path = dbpath / "pacman.conf"
        files.write_atomically(path, "\n".join([*lines, ""]).encode(errors="surrogateescape"))
        return path

    def run_pacman(self, reason: str, config: Path, *arguments: str) -> str:
        """Run a pacman that doesn't change the machine; empty, or why it failed (`reason`, or a more specific one).

        Unlike a transaction, it may be killed.
        """
        command = ["pacman", "--config", str(config), "--noconfirm", *arguments]
        if os.geteuid() != 0:
            command = ["fakeroot", "--", *command]
        seconds = max(0.0, self.deadline - time.monotonic())
        try:
            status = bounded_process.run(command, seconds=seconds, most=LARGEST, stop=self.stop)
        except bounded_process.TooLong:
            return f"{TOOK_LONGER} than {TIME_LIMIT:.0f} s"
        except FileNotFoundError:
            return f"{command[0]} is not installed"
        if status is None:
            return "it was asked to stop"
        return reason if status else ""


def _clear(dbpath: Path) -> None:
    """Remove everything that pacman left there: a broken-off download may be as large as LARGEST."""
    for one in dbpath.iterdir():
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        elif one.name != MEMORY:
            one.unlink(missing_ok=True)
    (dbpath / "sync").mkdir(mode=0o755)


def _lines(options: Collection[tuple[str, str]]) -> list[str]:
    return [f"{key} = {value}" if value else key for key, value in options if key not in _LEFT_OUT]
