"""The paths of the program and files that the service of a machine uses, and whether root may run them.

It must not write anything or know systemd.
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from typing import Optional

from ..errors import Refused
from ..pacman.configuration import PacmanConf
from .service_files import PACKAGED, PROGRAM, Setting

LOCAL_PROGRAM = "/usr/local/bin/pacsync-agent"
HOOK_DIR = "/etc/pacman.d/hooks"
# The options that name the machine or the agent's files, except --root, which the machine itself doesn't need.
_OPTIONS = ("config", "dbpath", "agent_config")
_USUAL = {"config": "/etc/pacman.conf", "agent_config": "/etc/pacsync-agent.conf"}


def setting(conf: PacmanConf, state_dir: Path, given: dict[str, Optional[str]]) -> Setting:
    """The setting for the units of this machine. `given`: the paths on the command line, by option.

    Raises Refused where the program or a path lies outside of the machine, or others than root may change the program.
    """
    root = Path(os.path.realpath(conf.root))
    options: list[str] = []
    for name in _OPTIONS:
        value = given.get(name)
        inside = _inside(Path(value), root, f"--{name.replace('_', '-')}") if value else None
        if inside and inside != _USUAL.get(name):
            options += [f"--{name.replace('_', '-')}", inside]
    directory = _inside(state_dir, root, "--state-dir")
    if given.get("state_dir"):
        options += ["--state-dir", directory]
    return Setting(_program(root), directory, tuple(options))


def is_packaged(root: Path) -> bool:
    """Whether the machine has the agent's package, with units and a hook of its own."""
    return (root / PACKAGED).exists()


def hook_dir(conf: PacmanConf) -> str:
    """A directory in which the machine's pacman looks for the admin's hooks."""
    known = [value.rstrip("/") for key, value in conf.options if key == "HookDir"]
    return HOOK_DIR if HOOK_DIR in known or not known else known[0]


def _inside(path: Path, root: Path, what: str) -> str:
    """The path within the machine."""
    real = Path(os.path.realpath(path))
    if root in real.parents:
        return f"/{real.relative_to(root)}"
    raise Refused(
        "service_outside",
        f"The service of the machine beneath {root} would not find {path} ({what}): that is outside of it.",
        f"Name a path beneath {root}, or run the command on that machine itself.",
    )


def _program(root: Path) -> str:
    """The file that the service runs: the package's, this one, or the one that the machine has."""
    if is_packaged(root):
        return PROGRAM
    running = Path(os.path.realpath(Path(__file__).parents[4]))
    if not running.is_file():  # a checkout
        running = root / LOCAL_PROGRAM.lstrip("/")
    if running.is_file() and root in running.parents:
        _check(running, root)
        return f"/{running.relative_to(root)}"
    there = root / LOCAL_PROGRAM.lstrip("/")
    if there.is_file():
        _check(there, root)
        return LOCAL_PROGRAM
    raise Refused(
        "service_program",
        f"The machine beneath {root} has no agent that a service could run: there is no {there}.",
        f"Put it there with `install -Dm755 {shlex.quote(str(running))} {shlex.quote(str(there))}`, and try again.",
    )


def _check(program: Path, root: Path) -> None:
    """Raise Refused where others than root can change the program, because the service runs it as root."""
    for path in (program, *program.parents):
        if path == root and root != Path("/"):
            break
        found = path.stat()
        by_group = found.st_mode & stat.S_IWGRP and found.st_gid != 0
        if found.st_uid not in {0, os.geteuid()} or by_group or found.st_mode & stat.S_IWOTH:
            raise Refused(
                "service_program",
                f"The service would run {program} as root, and users other than root may change {path}.",
                f"Put the agent where only root writes, with `install -Dm755 {shlex.quote(str(program))} "
                f"{LOCAL_PROGRAM}`, and run it from there.",
            )
