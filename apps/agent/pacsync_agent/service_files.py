"""The units of systemd and the hook of pacman that keep the agent at work: the texts of deploy/arch, for one machine.

The package installs the same files as they are. It must not write anything, nor know whether systemd runs.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVICE, TIMER, HOOK = "pacsync-agent.service", "pacsync-agent.timer", "pacsync-agent.hook"
WAITS_FOR_PACMAN = "pacsync-agent-shutdown.service"
UNITS = (SERVICE, "pacsync-agent-once.service", "pacsync-agent-report.service", WAITS_FOR_PACMAN, TIMER)
NAMES = (*UNITS, HOOK)
SOURCE = "deploy/arch"  # beneath the checkout, and in the built agent

UNIT_DIR = "etc/systemd/system"
PACKAGED = f"usr/lib/systemd/system/{SERVICE}"
MARK = "# Written by `pacsync-agent service install`; `pacsync-agent service remove` removes it."

# What the texts of deploy/arch say, and another machine may have elsewhere.
PROGRAM = "/usr/bin/pacsync-agent"
STATE_DIR = "/var/lib/pacsync-agent"
_PLAIN = re.compile(r"[A-Za-z0-9_@+,./:=-]+")


@dataclass(frozen=True)
class Setting:
    """What the texts depend on, all as the machine itself names it, not as its `--root` does.

    `program`: the agent's file; `state_dir`: its directory; `options`: what it needs to find its machine.
    """

    program: str = PROGRAM
    state_dir: str = STATE_DIR
    options: tuple[str, ...] = ()

    @property
    def is_packaged(self) -> bool:
        """Whether the files of the package are right as they are."""
        return self == Setting()


def text(name: str) -> str:
    """One of NAMES as deploy/arch has it. Raises OSError."""
    loader: Any = __loader__  # type: ignore[name-defined]  # of the checkout, or of the built agent
    top = __file__
    for _ in range(4):  # not by Path: the built agent knows itself as it was called, `./pacsync-agent` included
        top = os.path.dirname(top)
    content: bytes = loader.get_data(os.path.join(top, SOURCE, name))
    return content.decode()


def adapted(name: str, setting: Setting) -> str:
    """The same for this machine, under the mark by which it is known later."""
    return "\n".join([MARK, *(_line(line, setting) for line in text(name).splitlines()), ""])


def paths(root: Path, hook_dir: str) -> dict[str, Path]:
    """Where each of NAMES goes on the machine beneath `root`: never to where the package has it."""
    units = {name: root / UNIT_DIR / name for name in UNITS}
    return {**units, HOOK: root / hook_dir.strip("/") / f"zz-{HOOK}"}


def is_ours(path: Path) -> bool:
    """Whether `service install` wrote it. A link (`systemctl mask` makes one) is somebody else's."""
    try:
        with path.open("rb") as file:
            return not path.is_symlink() and file.readline().rstrip() == MARK.encode()
    except OSError:
        return False


def _line(line: str, setting: Setting) -> str:
    key, is_setting, value = line.partition("=")
    if not is_setting or not key.isalpha():
        return line
    if key.startswith("Exec"):
        words = value.split()
        changed = [_quoted(_moved(word, setting)) if word.startswith((PROGRAM, STATE_DIR)) else word for word in words]
        changed += [_quoted(option) for option in setting.options] if words[0] == PROGRAM else []
        return f"{key}={' '.join(changed)}"
    return f"{key}={_moved(value, setting).replace('%', '%%')}" if value.startswith(STATE_DIR) else line


def _moved(path: str, setting: Setting) -> str:
    if path == PROGRAM:
        return setting.program
    return setting.state_dir + path[len(STATE_DIR) :] if path.startswith(f"{STATE_DIR}/") else path


def _quoted(word: str) -> str:
    """One word of a command line of systemd (systemd.service(5), "Command lines")."""
    if _PLAIN.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return '"' + "".join(letter if letter.isprintable() else _escape(letter) for letter in escaped) + '"'


def _escape(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in letter.encode(errors="surrogateescape"))
