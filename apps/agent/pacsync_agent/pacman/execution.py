"""Runs pacman: rehearsals on a copy, transactions that outlive the agent. It must not know servers or operations.

Every run uses a configuration made from the machine's own [options], without its repositories, so that pacman installs
nothing else. A transaction has the repository of its plan (transaction_repository.py). pacman checks no signature: the
agent has verified each file before, by the SigLevel of its own repository.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ..errors import Local, PacmanGoesOn, pacman_unusable
from ..system import files, process_end
from . import database_lock, ended_by_signal, error_output, running_hook, transaction_repository
from . import reported_problems as complaints
from .configuration import ENVIRONMENT, PacmanConf
from .own_lock import OwnLock

# Options that the made configuration sets itself, or that would get in the way: the agent enforces HoldPkg and
# IgnorePkg before, and nothing is downloaded.
_REPLACED = {"RootDir", "DBPath", "CacheDir", "HoldPkg", "IgnorePkg", "IgnoreGroup"}
_REPLACED |= {"SigLevel", "LocalFileSigLevel", "RemoteFileSigLevel", "XferCommand", "DownloadUser"}
_ONLY_REAL = {"HookDir", "LogFile", "CheckSpace", "UseSyslog"}
# The shell holds the lock (its stdin) for as long as pacman runs, and leaves pacman's exit status even if the agent
# is dead by then. Nothing here writes to the agent, so that its death can't stop pacman.
_WRAPPER = '"$@" </dev/null; s=$?; echo "$s" >"$0.new" && mv -f "$0.new" "$0"; exit "$s"'


@dataclass(frozen=True)
class Run:
    """One finished pacman: its exit status and its output."""

    status: int
    output: str

    @property
    def errors(self) -> list[str]:
        """Why it failed, one line each, first cause first (error_output.py)."""
        return error_output.causes(self.status, self.output)


def write_config(
    conf: PacmanConf, path: Path, *, rehearsal_root: Optional[Path] = None, repository: Optional[Path] = None
) -> Path:
    """Write the configuration for a run on the machine, or on a copy of its database beneath `rehearsal_root`.

    `repository` is the directory of a generated one (transaction_repository.py), with the only cache that counts then.
    """
    skipped = _REPLACED | (_ONLY_REAL if rehearsal_root else set())
    lines = ["[options]"]
    lines += [f"{key} = {value}" if value else key for key, value in conf.options if key not in skipped]
    if rehearsal_root:
        lines += [f"RootDir = {rehearsal_root / 'root'}", f"DBPath = {rehearsal_root / 'db'}"]
        lines += [f"HookDir = {rehearsal_root / 'hooks'}", "LogFile = /dev/null"]
    else:
        lines += [f"RootDir = {conf.root}", f"DBPath = {conf.dbpath}"]
    if repository and not rehearsal_root:
        lines += [f"HookDir = {transaction_repository.hooks_of(repository)}"]
    caches = [transaction_repository.links_of(repository)] if repository else conf.cache_dirs
    lines += [f"CacheDir = {cache}" for cache in caches]
    lines += ["SigLevel = Never", *(transaction_repository.section(repository) if repository else [])]
    content = "\n".join([*lines, ""]).encode(errors="surrogateescape")
    if not (path.is_file() and path.read_bytes() == content):  # after a transaction there may be no room for it
        files.write_atomically(path, content)
    return path


def run(config: Path, *arguments: object, doing: str) -> Run:
    """Run a pacman that doesn't change the machine, and wait for it.

    `doing` says when, for the error message. Raises Failed (`pacman_killed`) when something else ended it, Local where
    it doesn't start.
    """
    command = ["pacman", "--config", str(config), *map(str, arguments)]
    try:
        done = subprocess.run(
            command,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C in the terminal is the agent's to handle
        )
    except FileNotFoundError:
        raise Local("pacman_missing", "pacman is not installed here.") from None
    said = done.stdout.decode(errors="replace")
    reason = error_output.did_not_start(done.returncode, said)
    if reason:
        raise pacman_unusable(reason)
    return Run(ended_by_signal.check(done.returncode, doing), said)


def database_problems(config: Path) -> set[str]:
    """The problems that `pacman -Dk` finds in the database, one sentence each."""
    done = run(config, "-Dk", doing="while it checked the database")
    return {line.partition("error: ")[2] for line in done.output.splitlines() if "error: " in line}


class TransactionProcess:
    """A pacman that changes the machine. It survives the agent, and the next agent finds it again."""

    def __init__(self, directory: Path) -> None:
        self.status_file = directory / "pacman.status"
        self.log_file = directory / "pacman.log"
        self.lock_file = directory / "pacman.lock"
        self.own_lock = OwnLock(directory, self.log_file)
        self.is_to_leave: Callable[[], bool] = lambda: False
        self._log_kept = False
        self._last = 0

    def clear(self) -> None:
        """Forget the last transaction."""
        files.remove(self.status_file)
        files.remove(self.log_file)
        self._log_kept = False

    def keep_log(self) -> None:
        """Flush pacman's output to the disk, once: after a power cut it shows that pacman had begun."""
        if not self._log_kept:
            self._log_kept = True
            with open(self.log_file, "rb") as log:
                os.fsync(log.fileno())

    def forget_status(self) -> None:
        """Forget the last exit status: until the next transaction has ended, the machine is between two states."""
        files.remove(self.status_file)

    def run(
        self, config: Path, *arguments: object, dbpath: Path, on_output: Callable[[str], None] = lambda text: None
    ) -> Run:
        """Start pacman and wait for its end.

        `on_output` often gets the output so far. Raises PacmanGoesOn as soon as `is_to_leave` says so.
        """
        self.forget_status()
        self._last = self.log_file.stat().st_size if self.log_file.exists() else 0
        self.own_lock.begin()
        return self._run(self.status_file, config, arguments, on_output, dbpath)

    def complaints(self, conf: PacmanConf) -> tuple[str, ...]:
        """The problems that pacman reported although it succeeded."""
        return complaints.of(self.output(), self.output(self._last), running_hook.ran(conf))

    def run_small(self, config: Path, *arguments: object, dbpath: Path) -> Run:
        """Run a short pacman before or after the transaction, with a status file of its own.

        Where it was killed, its lock is removed and it runs once more."""
        small_status = self.status_file.with_name("pacman-small.status")
        for _ in range(2):
            if not database_lock.is_locked(dbpath):
                self.own_lock.begin()
            run = self._run(small_status, config, arguments, lambda text: None, dbpath, may_leave=False)
            if 0 <= run.status < 128 or not self.remove_own_lock(dbpath):
                break
        return run

    def remove_own_lock(self, dbpath: Path, *, seen: bool = False) -> bool:
        """Remove the lock that a pacman of ours, or the agent, died with (own_lock.py); True if there was one."""
        return self.own_lock.is_there(dbpath, seen=seen) and database_lock.remove_if_stale(dbpath)

    def _run(
        self,
        status_file: Path,
        config: Path,
        arguments: Iterable[object],
        on_output: Callable[[str], None],
        dbpath: Path,
        *,
        may_leave: bool = True,
    ) -> Run:
        lock = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with open(self.log_file, "ab") as log:
                start = log.tell()
                process = subprocess.Popen(
                    ["/bin/sh", "-c", _WRAPPER, str(status_file), "pacman", "--config", str(config)]
                    + [str(argument) for argument in arguments],
                    env=ENVIRONMENT,
                    stdin=lock,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        finally:
            os.close(lock)  # the shell has it
        seen, began = False, time.monotonic()
        with process_end.waiting(process.pid) as wait:
            while process.poll() is None:
                seen = seen or self.own_lock.see(dbpath, process.pid)
                if may_leave and self.is_to_leave():
                    raise PacmanGoesOn
                on_output(self.output(start))
                # Its lock has to be recorded before it changes anything: after a crash it is known to be ours.
                wait(0.05 if seen or time.monotonic() > began + 5 else 0.002)
        on_output(self.output(start))
        return Run(ended_by_signal.status(process.returncode), self.output(start))

    def output(self, start: int = 0) -> str:
        """pacman's output, from the byte `start` of the log on."""
        try:
            with open(self.log_file, "rb") as log:
                log.seek(start)
                return log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def was_started(self) -> bool:
        return self.log_file.exists()

    def last_status(self) -> Optional[int]:
        """The exit status of the last pacman; None when it was cut off (or never started)."""
        try:
            return int(self.status_file.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def is_running(self) -> bool:
        """Whether the pacman of an agent that died is still at work."""
        if not self.lock_file.exists():
            return False
        lock = os.open(self.lock_file, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False


def begun(output: str) -> list[str]:
    """The packages that pacman has begun to install or remove so far, by its output (flushed after each line)."""
    verbs = r"^(?:removing|upgrading|downgrading|reinstalling|installing) (\S+)\.\.\.$"
    return re.findall(verbs, output, re.MULTILINE)


def wait_for_orphan(
    transaction: TransactionProcess,
    dbpath: Path,
    on_wait: Callable[[], None],
    on_output: Callable[[str], None] = lambda text: None,
) -> None:
    """Wait for the pacman of an agent that died, however long it takes. It is never killed."""
    said = False
    while transaction.is_running():
        if not said:
            on_wait()
            said = True
        on_output(transaction.output())
        time.sleep(0.2)
    database_lock.wait_until_free(dbpath, 5)


def quote_overwrite(paths: Iterable[str]) -> list[str]:
    """`--overwrite` options for exactly these paths (shell patterns, relative to the root)."""
    options = []
    for path in paths:
        options += ["--overwrite", re.sub(r"([*?\[\]\\!])", r"\\\1", path)]
    return options
