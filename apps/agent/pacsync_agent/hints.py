"""Makes the commands of a hint those for the machine that the command line named. It must not know what they do.

`pacman -Rdd fw` followed on the host removes it there, and not below the `--root` that the hint was about.
"""

from __future__ import annotations

import argparse
import re
import shlex
from typing import Optional

AGENT_CONFIG = "/etc/pacsync-agent.conf"
_COMMAND = re.compile(r"`(pacman|pacsync-agent) ([^`]*)`")
_MACHINE = ("config", "root", "dbpath")
_AGENT = (*_MACHINE, "state_dir", "agent_config")


class Hints:
    """`options`: the parsed command line; without one, hints stay as they are. `agent_config`: the machine's own."""

    def __init__(self, options: Optional[argparse.Namespace] = None) -> None:
        self.agent_config = AGENT_CONFIG
        self._options = {"pacman": _given(options, _MACHINE), "pacsync-agent": _given(options, _AGENT)}

    def for_machine(self, text: str) -> str:
        """The text, its commands in backquotes completed with the options that name the machine."""
        text = text.replace(AGENT_CONFIG, self.agent_config)
        return _COMMAND.sub(lambda found: f"`{found[1]} {found[2]}{self._options[found[1]]}`", text)


def _given(options: Optional[argparse.Namespace], keys: tuple[str, ...]) -> str:
    values = [(key, getattr(options, key, None)) for key in keys]
    return "".join(f" --{key.replace('_', '-')} {shlex.quote(str(value))}" for key, value in values if value)
