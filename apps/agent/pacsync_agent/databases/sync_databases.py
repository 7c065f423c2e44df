"""Which of the machine's own sync databases are valid: those that pacman accepts under the machine's own SigLevel.

pacman leaves a refused database where it was downloaded, so its existence proves nothing. It must not know the server
or fetch anything.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Optional

from apps.fleet.alpm import syncdb
from apps.fleet.alpm.repository import OfferedPackage

from ..pacman import bounded_process
from ..pacman.configuration import PacmanConf, Repository
from ..system import files
from .local_db import shows_changes
from .private_databases import MachineFiles

MEMORY = "sync-databases.json"
TIME_LIMIT = 60.0  # seconds for pacman to verify one signature; for an unknown key it asks a key server
LARGEST = 1 << 20  # bytes of a file that it may write
DAY = 86400
_KEYRING = ("pubring.kbx", "pubring.gpg", "trustdb.gpg")
_known: dict[Path, tuple[list[int], list[OfferedPackage]]] = {}
"""What was read of each database; `forget` drops it."""


def path_of(conf: PacmanConf, name: str) -> Path:
    """Where the machine's own sync database of the repository is, valid or not."""
    return conf.dbpath / "sync" / f"{name}.db"


def taken(machine: MachineFiles, name: str) -> Optional[Path]:
    """The sync database of the repository; None if there is none, or pacman refuses it.

    It need not be readable. pacman's verdict is kept until the database, its signature, the keyring or pacman.conf
    changes, for a day at most. Only one agent at a time may call this.
    """
    repository = next((one for one in machine.conf.repositories if one.name == name), None)
    path = path_of(machine.conf, name)
    if repository is None or not path.exists():
        return None
    signed = _signature_of(path).exists()
    if repository.database_level == "Never" or not (signed or repository.database_level == "Required"):
        return path
    return path if signed and _verified(machine, repository, path) else None


def read(machine: MachineFiles, name: str) -> list[OfferedPackage]:
    """What the sync database of the repository offers. Raises OSError, or ValueError when there is no valid one.

    Whether it is valid is asked each time. Its packages are read once, until it changes or `forget` is called.
    """
    path = path_of(machine.conf, name)
    before, now = _stamp(path), time.time_ns()
    if taken(machine, name) is None:
        raise ValueError(f"pacman does not take {path}")
    known = _known.get(path)
    if known and known[0] == before:
        return known[1]
    found = syncdb.read(path)
    if _stamp(path) != before:
        raise ValueError(f"{path} changed while it was read")
    if shows_changes(before[1], now):
        _known[path] = before, found
    return found


def forget() -> None:
    """Drop what was read: the packages of all repositories take some 20 MB, and the service runs for months."""
    _known.clear()


def _signature_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sig")


def _stamp(path: Path) -> list[int]:
    """Changes with the file's content, whatever time a mirror gives it; empty when there is no file."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]


def _verified(machine: MachineFiles, repository: Repository, path: Path) -> bool:
    """Whether pacman accepts the signature; remembered while nothing changes."""
    levels = [list(line) for line in repository.lines if line[0] == "SigLevel"]
    levels = levels or [list(line) for line in machine.conf.options if line[0] == "SigLevel"]
    watched = [path, _signature_of(path), *(machine.conf.gpgdir / name for name in _KEYRING)]
    stamp = [str(path), levels, int(time.time() // DAY), *map(_stamp, watched)]
    memory = machine.state_dir / MEMORY
    try:
        known: dict[str, Any] = files.read_json(memory) or {}
    except ValueError:
        known = {}
    kept = known.get(repository.name)
    if isinstance(kept, dict) and kept.get("stamp") == stamp:
        return kept.get("taken") is True
    said = ask_pacman(machine, repository, levels)
    if said is None:  # no verdict: it isn't valid now, and the next call asks again
        return False
    known = {name: value for name, value in known.items() if name in {one.name for one in machine.conf.repositories}}
    files.keep_json(memory, {**known, repository.name: {"stamp": stamp, "taken": said}})
    return said


def ask_pacman(machine: MachineFiles, repository: Repository, levels: list[list[str]]) -> Optional[bool]:
    """Whether pacman accepts the database; None when it gave no verdict.

    The configuration has this one repository, because pacman reads none if one is bad. No question is answered, so that
    no key is imported.
    """
    conf = machine.conf
    lines = ["[options]", f"RootDir = {conf.root}", f"DBPath = {conf.dbpath}", f"GPGDir = {conf.gpgdir}"]
    lines += [f"CacheDir = {machine.state_dir}", "LogFile = /dev/null", f"[{repository.name}]"]
    lines += [f"{key} = {value}" for key, value in levels]
    config = machine.state_dir / "sync-database.conf"
    files.write_atomically(config, "\n".join([*lines, ""]).encode(errors="surrogateescape"))
    command = ["pacman", "--config", str(config), "-Sl", repository.name]
    stop: threading.Event = getattr(machine, "stop", None) or threading.Event()
    try:
        status = bounded_process.run(command, seconds=TIME_LIMIT, most=LARGEST, stop=stop)
    except (bounded_process.TooLong, FileNotFoundError):
        return None
    finally:
        config.unlink(missing_ok=True)
    return None if status is None else status == 0
