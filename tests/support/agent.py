"""The agent as a program: built once, run on the machines of a test fleet, killed where a test wants it.

It must not know what the tests expect of it.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from apps.agent import build
from tests.support.isolation import once
from tests.support.pacman import Machine

DRIVER = Path(__file__).with_name("agent_driver.py")


@cache
def agent_path() -> Path:
    """The built agent, with bytecode, as the Arch package has it."""
    return once("pacsync-agent", lambda path: build.write(path, compiled=True))


def run(machine: Machine, *arguments: object, python: str = sys.executable) -> "Done":
    """Run the agent on that machine until it ends."""
    command = [python, str(agent_path()), *map(str, arguments), "--config", str(machine.config)]
    return Done(subprocess.run(command, capture_output=True, text=True, timeout=110, cwd="/"))


def start(machine: Machine, *arguments: object) -> subprocess.Popen[str]:
    """Start the agent on that machine, in a process group of its own, as a terminal does."""
    command = [sys.executable, str(agent_path()), *map(str, arguments), "--config", str(machine.config)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/", start_new_session=True
    )


def run_killed_at(machine: Machine, point: str, *arguments: object) -> "Done":
    """Run the agent until `point` (see agent_driver.py), where it is killed with -9, as a rule."""
    command = [sys.executable, str(DRIVER), str(agent_path()), point, *map(str, arguments)]
    command += ["--config", str(machine.config)]
    return Done(subprocess.run(command, capture_output=True, text=True, timeout=110, cwd="/"))


class Done:
    """What came of it: `code`, `out`, `err`, and with --json its objects."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"

    def ok(self) -> "Done":
        assert self.code == 0, self
        assert "Traceback" not in self.err, self
        return self

    def refused(self, code: int) -> "Done":
        assert self.code == code, self
        assert "Traceback" not in self.err, self
        return self

    @property
    def last(self) -> dict[str, Any]:
        """The last JSON object."""
        found = json.loads(self.out.strip().splitlines()[-1])
        assert isinstance(found, dict)
        return found


def state_dir(machine: Machine) -> Path:
    return machine.root / "var/lib/pacsync-agent"


def is_root() -> bool:
    return os.geteuid() == 0
