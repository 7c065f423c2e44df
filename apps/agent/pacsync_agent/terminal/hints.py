"""Adds the options that name the machine to the commands in a hint. It must not know what the commands do.

`pacman -Rdd fw` without them would remove fw from the host, instead of from the machine below `--root`.
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
        """The text, with the options that name the machine in its backquoted commands."""
        text = text.replace(AGENT_CONFIG, self.agent_config)
        return _COMMAND.sub(lambda found: f"`{found[1]} {found[2]}{self._options[found[1]]}`", text)


def _given(options: Optional[argparse.Namespace], keys: tuple[str, ...]) -> str:
    values = [(key, getattr(options, key, None)) for key in keys]
    return "".join(f" --{key.replace('_', '-')} {shlex.quote(str(value))}" for key, value in values if value)
