"""Which hook pacman is running, and since when. It must not know who needs that or how long a hook may take."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from .configuration import PacmanConf

PHASE = re.compile(r"^:: (Running (?:pre|post)-transaction hooks|Processing package changes)\.\.\.$", re.MULTILINE)
LINE = re.compile(r"^\(\s*\d+/\d+\) (.+)$", re.MULTILINE)
LOGGED = re.compile(r"^\[([^\]]+)\] \[ALPM\] running '([^'\n]+)'\.\.\.$", re.MULTILINE)
TAIL = 65_536  # bytes at the end of pacman's log that are read
PATIENCE = 30.0  # seconds that a hook may take before it is named
LOOK = 1.0  # seconds between two checks


@dataclass(frozen=True)
class RunningHook:
    """`name` is the file's, `description` its own or empty, `since` pacman's time of its start (RFC 3339) or empty."""

    name: str
    description: str
    since: str

    def running(self) -> str:
        """`NAME (DESCRIPTION) has been running since TIME`, the end of a sentence."""
        text = str(RunningHook(self.name, self.description, ""))
        return f"{text} has been running since {self.since}" if self.since else f"{text} is running"

    def __str__(self) -> str:
        text = self.name + (f" ({self.description})" if self.description not in {"", self.name} else "")
        return text + (f" since {self.since}" if self.since else "")


def of(said: str, conf: PacmanConf) -> Optional[RunningHook]:
    """The running hook, by pacman's output so far and its log; None if no hook runs."""
    phases = list(PHASE.finditer(said))
    if not phases or not phases[-1].group(1).startswith("Running"):
        return None
    lines = LINE.findall(said, phases[-1].end())
    if not lines:
        return None
    begun = LOGGED.findall(logged(conf))
    if not begun:
        return RunningHook(lines[-1], "", "")
    since, name = begun[-1]
    description = lines[-1].rstrip(".")
    return RunningHook(name, "" if description == name else description, since)


def ran(conf: PacmanConf) -> list[str]:
    """The file names of the hooks that ran last, in their order, by pacman's log; empty if it can't be read."""
    return [name for _, name in LOGGED.findall(logged(conf))]


def logged(conf: PacmanConf) -> str:
    """The end of pacman's own log; empty if it can't be read."""
    path = Path(next((value for key, value in conf.options if key == "LogFile"), "/var/log/pacman.log"))
    try:
        with open(path, "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - TAIL))
            return log.read().decode(errors="replace")
    except OSError:
        return ""


class HookWatch:
    """`look` often gets pacman's output so far; `say` is called once for a hook that takes longer than PATIENCE."""

    def __init__(self, conf: PacmanConf, say: Callable[[RunningHook], None]) -> None:
        self._conf, self._say = conf, say
        self._hook: Optional[RunningHook] = None
        self._began = self._looked = time.monotonic() - LOOK
        self._said = False

    def look(self, said: str) -> None:
        """Check for a slow hook. Raises nothing."""
        now = time.monotonic()
        if now < self._looked + LOOK:
            return
        self._looked = now
        hook = of(said, self._conf)
        if hook != self._hook:
            self._hook, self._began, self._said = hook, now, False
        if hook and not self._said and now > self._began + PATIENCE:
            self._said = True
            self._say(hook)
