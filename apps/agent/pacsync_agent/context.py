"""What one run of the agent works with, made once and passed around. It must not do anything itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import settings
from .errors import Busy, Local
from .health_commands.health_settings import HealthSettings
from .journal import Journal
from .mirrors.retry_schedule import OUTAGE
from .pacman.configuration import PacmanConf
from .pacman.execution import TransactionProcess
from .server.client import Client
from .settings import Credentials
from .system import files, own_directory
from .system.interrupts import Leaving
from .system.signals import Signals
from .terminal.output import Output


@dataclass
class Context:
    """One machine, one server, one run.

    `protect` is the setting of that name; `force_remove` lists the protected packages that the command line gives up.
    `blocked`: somebody else's lock, or a pacman that doesn't start, keeps an operation from being finished; `said` is
    the message that was printed about it. A report fills the last six. `databases`: the privately fetched file, by
    repository, used instead of the machine's own sync database. `unreadable`: why a repository has no readable
    database. `problems`: what is wrong with this machine as a source of a target. `went_back`: what is wrong with the
    pool's revision. `identity`: why the server doesn't let this machine take part. `poll`: the server's poll
    interval in seconds.
    """

    conf: PacmanConf
    state_dir: Path
    credentials: Credentials
    client: Client
    output: Output
    signals: Signals
    journal: Journal
    transaction: TransactionProcess
    trust_target_files: bool = False
    protect: tuple[str, ...] = settings.PROTECT
    force_remove: tuple[str, ...] = ()
    mirror_patience: float = OUTAGE
    health: HealthSettings = field(default_factory=HealthSettings)
    blocked: bool = False
    said: str = ""
    databases: dict[str, Path] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)
    went_back: str = ""
    identity: str = ""
    poll: float = 0

    @property
    def stop(self) -> threading.Event:
        """Set by a signal that asks the agent to stop."""
        return self.signals.stop

    @property
    def rehearsal_dir(self) -> Path:
        return self.state_dir / "rehearsal"


def make_context(
    options: settings.Options, conf: PacmanConf, output: Output, signals: Signals, patience: float
) -> Context:
    """Raises NotAuthorized when the machine isn't enrolled, Local when its files can't be read or written."""
    directory = settings.state_dir(options, conf)
    credentials = settings.load_credentials(directory)
    settings.make_state_dir(directory)
    own_directory.remember(directory, conf.dbpath)
    server = options.server or credentials.server
    client = Client(server, credentials.token, patience=patience, stop=signals.stop, proxy=options.proxy)
    client.kept_tokens = lambda: settings.kept_tokens(directory, credentials)
    if client.server != credentials.server:
        raise Local(
            "server_changed",
            f"This machine is enrolled at {credentials.server}, not at {client.server}.",
            "Leave --server out, or enrol the machine there with `enroll --force`.",
        )
    running = TransactionProcess(directory)
    running.is_to_leave = Leaving(signals, output)
    return Context(
        conf=conf,
        state_dir=directory,
        credentials=credentials,
        client=client,
        output=output,
        signals=signals,
        journal=Journal(directory / "journal.json"),
        transaction=running,
        trust_target_files=options.trust_target_files,
        protect=options.protect,
        mirror_patience=options.mirror_patience,
        health=options.health,
    )


@contextlib.contextmanager
def only_agent(directory: Path, *, wait: float) -> Iterator[None]:
    """Be the only agent at work on this machine. Raises Busy when another one still is after `wait` seconds."""
    handle = os.open(directory / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Busy(
                        "agent_busy", "Another pacsync-agent is at work on this machine.", "Wait for it to finish."
                    ) from None
                time.sleep(0.1)
        files.remove_unfinished(directory)
        yield
    finally:
        os.close(handle)
