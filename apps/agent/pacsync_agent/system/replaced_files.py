"""Services that still run code from files which were replaced or removed since. It must not know packages.

Such a file is mapped into the process and has no name any more: the kernel says `(deleted)`. needrestart and
checkservices look for the same.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Optional

SECONDS = 5.0  # for all processes; what is found until then counts
MOST = 100  # units
# An executable mapping of a file below these: not of memfd, shared memory, or what a program made for itself.
_MAPPED = re.compile(r"^\S+ ..x. .* /(?:usr|bin|sbin|lib|lib64|opt)/.* \(deleted\)$", re.MULTILINE)
_UNIT = re.compile(r"^\d+:(?:name=systemd)?:/system\.slice/(?:[^/]+\.slice/)*([^/]+\.service)(?:/|$)", re.MULTILINE)


def units(proc: Path = Path("/proc")) -> list[str]:
    """The system services with such processes, sorted. None of containers, machines and people's sessions.

    Empty without systemd, which gives each service a control group, and for processes that may not be read.
    """
    found: set[str] = set()
    deadline = time.monotonic() + SECONDS
    for directory in proc.glob("[0-9]*"):
        if time.monotonic() > deadline or len(found) >= MOST:
            break
        unit = _unit_of(directory)
        if unit and unit not in found and _runs_replaced_code(directory):
            found.add(unit)
    return sorted(found)


def _unit_of(directory: Path) -> Optional[str]:
    match = _UNIT.search(_read(directory / "cgroup"))
    return match[1] if match else None


def _runs_replaced_code(directory: Path) -> bool:
    return bool(_MAPPED.search(_read(directory / "maps")))


def _read(path: Path) -> str:
    """Empty for a process that has ended meanwhile."""
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
