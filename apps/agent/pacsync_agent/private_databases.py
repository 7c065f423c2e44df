"""Fetches the current sync databases of the machine's own mirrors into a directory of the agent's, as checkupdates does.

It must not know servers, nor touch the machine's own databases: `pacman -Sy` on those alone would make the machine's
next `-S` a partial upgrade. pacman fetches under the machine's own options, mirrors and SigLevel, so a database whose
signature the machine wants and doesn't trust is not read.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Protocol

from apps.fleet.alpm import syncdb
from apps.fleet.alpm.repository import OfferedPackage

from . import files
from .pacman import Run
from .pacman_conf import ENVIRONMENT, PacmanConf, Repository

TIME_LIMIT = 120.0  # seconds for all databases of one call together
_POLL = 0.1
# What belongs to the machine itself, or (Usage) would keep pacman from fetching what is asked for.
_LEFT_OUT = {"RootDir", "DBPath", "LogFile", "HookDir", "UseSyslog", "Usage"}


class MachineFiles(Protocol):
    """What is needed of a machine: its configuration, and the agent's own directory on it."""

    @property
    def conf(self) -> PacmanConf: ...

    @property
    def state_dir(self) -> Path: ...


@dataclass(frozen=True)
class Database:
    """One sync database that pacman takes for valid: where it is, and what it offers by pkgname."""

    path: Path
    packages: dict[str, OfferedPackage]


@dataclass
class Databases:
    """`readable` by repository; `reasons` says of each of the others why it can't be had, in one sentence."""

    readable: dict[str, Database] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def fetch(
    machine: MachineFiles,
    repositories: Iterable[str],
    *,
    max_age: float = 0,
    stop: Optional[threading.Event] = None,
) -> Databases:
    """The current databases of these repositories of the machine's pacman.conf.

    What was fetched, or tried, less than `max_age` seconds ago is not tried again. `stop` ends the fetch early; the
    databases that are left then have that as their reason. Raises OSError when the directory can't be written.
    """
    wanted = set(repositories)
    configured = [repository for repository in machine.conf.repositories if repository.name in wanted]
    found = Databases(reasons=dict.fromkeys(sorted(wanted), "pacman.conf has no such repository"))
    if configured:
        fetching = _Fetching(machine, max_age, stop or threading.Event())
        for repository in configured:
            fetching.one(repository, found)
    return found


def directory_of(state_dir: Path) -> Path:
    """The DBPath that the private databases are in."""
    return state_dir / "databases"


class _Fetching:
    """One call of `fetch`: the directory, its memory, and the time that is left."""

    def __init__(self, machine: MachineFiles, max_age: float, stop: threading.Event) -> None:
        self.conf, self.max_age, self.stop = machine.conf, max_age, stop
        self.directory = directory_of(machine.state_dir)
        # For all to pass through: pacman 7 downloads as another user.
        (self.directory / "sync").mkdir(parents=True, exist_ok=True, mode=0o755)
        # Of a pacman that was killed here; only one agent works at a time, and no other pacman uses this directory.
        (self.directory / "db.lck").unlink(missing_ok=True)
        self.deadline = time.monotonic() + TIME_LIMIT
        self.memory_path = self.directory / "fetched.json"
        try:
            self.memory: dict[str, Any] = files.read_json(self.memory_path) or {}
        except ValueError:
            self.memory = {}

    def one(self, repository: Repository, found: Databases) -> None:
        known = self.memory.get(repository.name)
        known = known if isinstance(known, dict) else {}
        path = self.directory / "sync" / f"{repository.name}.db"
        section = [list(line) for line in repository.lines]
        if known.get("section") != section:  # other mirrors: their database may be older, and would not be taken
            self._forget(path)
            known = {}
        reason = str(known.get("reason", ""))
        if not self._is_fresh(known) or not (reason or path.exists()):
            reason = self._fetch(repository, path)
            self.memory[repository.name] = {"at": time.time(), "section": section, "reason": reason}
            files.write_json(self.memory_path, self.memory)
        if not reason:
            try:
                packages = {package.name: package for package in syncdb.read(path)}
                found.readable[repository.name] = Database(path, packages)
                del found.reasons[repository.name]
                return
            except (OSError, ValueError) as error:
                self._forget(path)
                reason = str(error)
        found.reasons[repository.name] = reason

    def _is_fresh(self, known: dict[str, Any]) -> bool:
        at = known.get("at")
        return isinstance(at, (int, float)) and 0 <= time.time() - at < self.max_age

    def _fetch(self, repository: Repository, path: Path) -> str:
        """Fetch it; the reason why it can't be had, empty when it can."""
        if not repository.servers:
            return "pacman.conf names no mirror of it"
        config = self._write_config(repository)
        fetched = self._run(config, "-Sy")
        # A database whose signature isn't trusted stays where it was downloaded to; pacman reads none such.
        valid = fetched if fetched.status else self._run(config, "-Slq", repository.name)
        if valid.status == 0 and path.exists():
            return ""
        self._forget(path)
        return "; ".join(valid.errors[:2]) or "pacman did not fetch it"

    @staticmethod
    def _forget(path: Path) -> None:
        for one in (path, path.with_name(f"{path.name}.sig")):
            one.unlink(missing_ok=True)

    def _write_config(self, repository: Repository) -> Path:
        lines = ["[options]", f"DBPath = {self.directory}", "LogFile = /dev/null"]
        lines += _lines(self.conf.options)
        lines += [f"[{repository.name}]", *_lines(repository.lines)]
        path = self.directory / "pacman.conf"
        files.write_atomically(path, "\n".join([*lines, ""]).encode(errors="surrogateescape"))
        return path

    def _run(self, config: Path, *arguments: str) -> Run:
        """A pacman that changes nothing of the machine: unlike a transaction it may be killed, and is in time."""
        command = ["pacman", "--config", str(config), "--noconfirm", *arguments]
        try:
            process = subprocess.Popen(
                command,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except FileNotFoundError:
            return Run(127, "error: pacman is not installed here")
        with process:
            while True:
                try:
                    said, _ = process.communicate(timeout=_POLL)
                    return Run(process.returncode, said.decode(errors="replace"))
                except subprocess.TimeoutExpired:
                    reason = self._over()
                if reason:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()
                    return Run(124, f"error: {reason}")

    def _over(self) -> str:
        if self.stop.is_set():
            return "stopped by a signal"
        return f"no answer within {TIME_LIMIT:.0f} s" if time.monotonic() > self.deadline else ""


def _lines(options: Collection[tuple[str, str]]) -> list[str]:
    return [f"{key} = {value}" if value else key for key, value in options if key not in _LEFT_OUT]
