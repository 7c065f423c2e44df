"""Fetches the current databases of the machine's own mirrors into directories of the agent's own, as checkupdates does.

pacman itself does it, with the machine's own [options], mirrors, keyring and SigLevel; the machine's own databases stay
as they are, so that no partial upgrade becomes possible. It must not know what the databases are wanted for.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from apps.fleet.alpm import syncdb
from apps.fleet.alpm.repository import OfferedPackage

from . import bounded_process, files, parallel
from .pacman_conf import PacmanConf, Repository

SECONDS = 120  # for one repository, all of its mirrors included
LARGEST = 256 << 20  # bytes of one database
AT_ONCE = 4
# Of [options]: what a private database must not share with the machine, or has no use for.
_LEFT_OUT = {"RootDir", "DBPath", "LogFile", "HookDir", "CacheDir", "CheckSpace", "UseSyslog", "NoProgressBar"}


class _Machine(Protocol):
    """Whose databases: its pacman.conf and the agent's directory; `stop` ends the fetching."""

    conf: PacmanConf
    state_dir: Path
    stop: threading.Event


@dataclass(frozen=True)
class Database:
    """A repository's current database: what it offers, sorted by name."""

    repository: str
    packages: tuple[OfferedPackage, ...]


@dataclass
class Databases:
    """By repository name: the databases that could be had and are valid, and why the others couldn't (one clause)."""

    readable: dict[str, Database] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


class NotHad(Exception):
    """The database can't be had; the text says why in words of our own."""


class _Stopped(Exception):
    """The fetching was asked to stop."""


def fetch(machine: _Machine, repositories: Iterable[str]) -> Databases:
    """The current databases of these repositories. Nothing stays on the disk. Raises nothing but OSError of the disk.

    A repository that is not in pacman.conf, that no mirror gives within its time, whose database can't be read, or
    whose signature its DatabaseSigLevel refuses, is in `reasons`.
    """
    found = Databases()
    known = {one.name: one for one in machine.conf.repositories}
    wanted = list(dict.fromkeys(repositories))
    found.reasons.update({name: "it is not in this machine's pacman.conf" for name in wanted if name not in known})
    directory = machine.state_dir / "private-databases"
    shutil.rmtree(directory, ignore_errors=True)
    # pacman 7 downloads as a user of its own, who has to get in; nothing in here is secret but the configuration.
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    stop = machine.stop

    def one(name: str) -> Database:
        return _fetch_one(machine.conf, known[name], directory / str(wanted.index(name)), stop)

    try:
        names = [name for name in wanted if name in known]
        results = parallel.each(one, names, workers=AT_ONCE, fatal=lambda error: not isinstance(error, NotHad))
    except _Stopped:
        results = {name: NotHad("it was asked to stop") for name in names}
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    for name, result in results.items():
        if isinstance(result, Database):
            found.readable[name] = result
        else:
            found.reasons[name] = str(result)
    return found


def _fetch_one(conf: PacmanConf, repository: Repository, directory: Path, stop: threading.Event) -> Database:
    if not repository.servers:
        raise NotHad("it has no mirror")
    dbpath = directory / "db"
    (dbpath / "local").mkdir(parents=True)
    config = _write_config(conf, repository, directory)
    command = ["pacman", "--config", str(config)]
    if os.geteuid() != 0:
        command = ["fakeroot", "--", *command]
    _run([*command, "-Sy"], "no mirror gives a valid one", stop)
    # The signature is judged when the database is loaded, whatever -Sy said.
    _run(
        [*command, "-Sl", repository.name], "pacman doesn't take it: its signature is not valid, or it is damaged", stop
    )
    try:
        return Database(repository.name, tuple(syncdb.read(dbpath / "sync" / f"{repository.name}.db")))
    except (OSError, ValueError):
        raise NotHad("it can't be read") from None


def _write_config(conf: PacmanConf, repository: Repository, directory: Path) -> Path:
    """A configuration with this one repository; for root alone, because mirrors may have passwords."""
    lines = ["[options]", f"RootDir = {directory}", f"DBPath = {directory / 'db'}", f"CacheDir = {directory}"]
    lines += ["LogFile = /dev/null", f"HookDir = {directory}"]
    lines += [f"{key} = {value}" if value else key for key, value in conf.options if key not in _LEFT_OUT]
    lines += [f"[{repository.name}]", *(f"{key} = {value}" for key, value in repository.lines if key != "Usage"), ""]
    path = directory / "pacman.conf"
    files.write_atomically(path, "\n".join(lines).encode(errors="surrogateescape"))
    return path


def _run(command: list[str], reason: str, stop: threading.Event) -> None:
    """Run a pacman that touches nothing of the machine. Raises NotHad with `reason`."""
    try:
        status = bounded_process.run(command, seconds=SECONDS, most=LARGEST, stop=stop)
    except bounded_process.TooLong:
        raise NotHad(f"its mirrors took longer than {SECONDS} s") from None
    except FileNotFoundError:
        raise NotHad(f"{command[0]} is not installed") from None
    if status is None:
        raise _Stopped
    if status != 0:
        raise NotHad(reason)
