"""The systemd units and the pacman hook that keep the agent running: the files of deploy/arch, adapted to a machine.

The package installs the same files unchanged. It must not write anything or know whether systemd runs.
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

# Paths in the texts of deploy/arch that may differ on a machine.
PROGRAM = "/usr/bin/pacsync-agent"
STATE_DIR = "/var/lib/pacsync-agent"
_PLAIN = re.compile(r"[A-Za-z0-9_@+,./:=-]+")


@dataclass(frozen=True)
class Setting:
    """What the texts depend on; paths are those within the machine, without its `--root`.

    `program`: the agent's file; `state_dir`: its directory; `options`: the options with which it finds its machine.
    """

    program: str = PROGRAM
    state_dir: str = STATE_DIR
    options: tuple[str, ...] = ()

    @property
    def is_packaged(self) -> bool:
        """Whether the unchanged files of the package are right."""
        return self == Setting()


def text(name: str) -> str:
    """One of NAMES as deploy/arch has it. Raises OSError."""
    loader: Any = __loader__  # type: ignore[name-defined]  # of the checkout, or of the built agent
    top = __file__
    for _ in range(5):  # not by Path: the zipapp's loader goes by the name of the call, `./pacsync-agent` for example
        top = os.path.dirname(top)
    content: bytes = loader.get_data(os.path.join(top, SOURCE, name))
    return content.decode()


def adapted(name: str, setting: Setting) -> str:
    """The text for this machine, below the mark by which `is_ours` knows it."""
    return "\n".join([MARK, *(_line(line, setting) for line in text(name).splitlines()), ""])


def paths(root: Path, hook_dir: str) -> dict[str, Path]:
    """Where each of NAMES goes on the machine beneath `root`: never where the package has it."""
    units = {name: root / UNIT_DIR / name for name in UNITS}
    return {**units, HOOK: root / hook_dir.strip("/") / f"zz-{HOOK}"}


def is_ours(path: Path) -> bool:
    """Whether `service install` wrote it. A link (as from `systemctl mask`) is somebody else's."""
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
    """One word of a systemd command line (systemd.service(5), "Command lines")."""
    if _PLAIN.fullmatch(word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return '"' + "".join(letter if letter.isprintable() else _escape(letter) for letter in escaped) + '"'


def _escape(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in letter.encode(errors="surrogateescape"))
