"""Fetches current sync databases from the machine's own mirrors, beside the machine's own, as checkupdates does.

It must not know servers, nor touch the machine's own databases: `pacman -Sy` on those alone would make the machine's
next `-S` a partial upgrade. pacman fetches under the machine's own options, mirrors and SigLevel, so a database whose
signature the machine wants and doesn't trust is not read.
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

from . import bounded_process, files, no_room, parallel
from .events import EitherEvent
from .pacman_conf import PacmanConf, Repository

TIME_LIMIT = 120.0  # seconds for all databases of one call together
LARGEST = 256 << 20  # bytes of one database
AT_ONCE = 4
RETRY = 900.0  # seconds after which a failure is never repeated from memory
MEMORY = "fetched.json"
TOOK_LONGER = "its mirrors took longer"
NOT_GIVEN = "no mirror gives a valid one"
# What belongs to the machine itself, or (Usage) would keep pacman from fetching what is asked for.
_LEFT_OUT = {"RootDir", "DBPath", "CacheDir", "LogFile", "HookDir", "CheckSpace", "UseSyslog", "Usage"}


class MachineFiles(Protocol):
    """What is needed of a machine: its configuration, and the agent's own directory on it.

    An Event named `stop`, if it has one, ends the fetching.
    """

    @property
    def conf(self) -> PacmanConf: ...

    @property
    def state_dir(self) -> Path: ...


@dataclass(frozen=True)
class Database:
    """One sync database that pacman takes for valid: what it offers, sorted by name, and where it lies."""

    repository: str
    packages: tuple[OfferedPackage, ...]
    path: Path = Path(os.devnull)


@dataclass
class Databases:
    """`readable` by repository; `reasons` says of each of the others why it can't be had, in one clause.

    The clauses are our own words: pacman's may name mirrors with their passwords.
    """

    readable: dict[str, Database] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def passing(self) -> dict[str, str]:
        """Those of `reasons` that may be others in a moment: mirrors and the network, and nothing of the machine."""
        return {name: reason for name, reason in self.reasons.items() if reason.startswith((NOT_GIVEN, TOOK_LONGER))}


class _NotHad(Exception):
    """The database can't be had; the text says why."""


def fetch(machine: MachineFiles, repositories: Iterable[str], *, max_age: float = 0) -> Databases:
    """The current databases of these repositories of the machine's pacman.conf.

    What was fetched less than `max_age` seconds ago, or failed less than that and less than RETRY ago, is not tried
    again. Raises OSError when the directory can't be written. Only one agent at a time may call this.
    """
    configured = {repository.name: repository for repository in machine.conf.repositories}
    wanted = list(dict.fromkeys(repositories))
    found = Databases(reasons=dict.fromkeys(wanted, "it is not in this machine's pacman.conf"))
    fetching = _Fetching(machine, max_age)
    names = [name for name in wanted if name in configured]
    results = parallel.each(
        lambda name: fetching.one(configured[name]),
        names,
        workers=AT_ONCE,
        fatal=lambda error: not isinstance(error, _NotHad),
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


class _Fetching:
    """One call of `fetch`: whose machine, and the time that is left."""

    def __init__(self, machine: MachineFiles, max_age: float) -> None:
        self.conf, self.max_age = machine.conf, max_age
        self.directory = directory_of(machine.state_dir)
        self.cancel = threading.Event()
        self.stop = EitherEvent(getattr(machine, "stop", None) or threading.Event(), self.cancel)
        self.deadline = time.monotonic() + TIME_LIMIT

    def one(self, repository: Repository) -> Database:
        """The database, fetched unless that was tried lately. Raises _NotHad, OSError."""
        try:
            return self._one(repository)
        except OSError as error:
            if not no_room.is_it(error):
                raise
            raise _NotHad(f"{self.directory} has no room: {no_room.figures(self.directory)}") from None

    def _one(self, repository: Repository) -> Database:
        # A DBPath for each, so that no pacman waits for another's lock. For all to pass through: pacman 7 downloads
        # as another user.
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
                raise _NotHad(reason or "it was asked to stop")
            files.keep_json(dbpath / MEMORY, {"at": time.time(), "section": section, "reason": reason})
        if reason:
            raise _NotHad(reason)
        try:
            return Database(repository.name, tuple(syncdb.read(path)), path)
        except (OSError, ValueError):
            _clear(dbpath)
            raise _NotHad("it can't be read") from None

    def _known(self, dbpath: Path) -> dict[str, Any]:
        try:
            return files.read_json(dbpath / MEMORY) or {}
        except ValueError:
            return {}

    def _is_fresh(self, known: dict[str, Any]) -> bool:
        at, max_age = known.get("at"), min(self.max_age, RETRY) if known.get("reason") else self.max_age
        return isinstance(at, (int, float)) and 0 <= time.time() - at < max_age

    def _fetch(self, repository: Repository, dbpath: Path, path: Path) -> str:
        """Fetch it; the reason why it can't be had, empty when it can."""
        if not repository.servers:
            return "it has no mirror"
        _clear(dbpath)  # a lock and parts of a pacman that was killed here
        # Until pacman has taken what comes, nothing remembered may vouch for it: this run may be killed in between.
        (dbpath / MEMORY).unlink(missing_ok=True)
        config = self._write_config(repository, dbpath)
        # Again, not only if it is newer: a mirror may have gone back to an older day.
        reason = self._run(NOT_GIVEN, config, "-Syy")
        if not reason:  # what was downloaded lies there also when its signature isn't trusted; pacman reads none such
            said = "pacman doesn't take it: its signature is not valid, or it is damaged"
            reason = self._run(said, config, "-Sl", repository.name)
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

    def _run(self, reason: str, config: Path, *arguments: str) -> str:
        """Run a pacman that changes nothing of the machine; empty, or `reason` or another why it failed.

        Unlike a transaction it may be killed.
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
    """Remove whatever pacman left there, files of any name: what broke off may be as large as LARGEST."""
    for one in dbpath.iterdir():
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        elif one.name != MEMORY:
            one.unlink(missing_ok=True)
    (dbpath / "sync").mkdir(mode=0o755)


def _lines(options: Collection[tuple[str, str]]) -> list[str]:
    return [f"{key} = {value}" if value else key for key, value in options if key not in _LEFT_OUT]
