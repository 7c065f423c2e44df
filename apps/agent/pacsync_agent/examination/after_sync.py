"""What is left to do after a sync: a reboot, services to restart, units that have failed since.

It is kept in the agent's directory, and looked at again with each report, until nothing is left of it. It concerns only
the system that runs here: no other root, no container. Nothing in it fails, or takes long. It must not know operations.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

from ..pacman.configuration import ENVIRONMENT
from ..system import files, replaced_files
from ..terminal.listing import listed
from ..terminal.printable import printable
from .source_examination import NAMES, Problem

REBOOT, SERVICES, FAILED = "reboot_needed", "services_outdated", "units_failed"
CODES = (REBOOT, SERVICES, FAILED)
FOR = 24 * 3600  # seconds after a sync in which a unit that fails counts as failed since
_PATIENCE = 5  # seconds for systemctl
_TEXTS = {
    REBOOT: "A reboot is needed: the modules of the running kernel {} are gone.",
    SERVICES: "These services still run code that was replaced: {}. Restart them, or reboot.",
    FAILED: "These units have failed since the last sync: {}. See `systemctl status`.",
}
_FILE = "after-sync.json"


def note_before(state_dir: Path, root: Path) -> None:
    """Before pacman starts: keep which units have failed already. Raises OSError, except for a full disk."""
    if _is_running_system(root):
        files.keep_json(state_dir / _FILE, {"failed_before": _failed_units(), "began": time.time(), "services": []})


def look(state_dir: Path, root: Path) -> None:
    """After a sync: find the services that run replaced code. Raises OSError, except for a full disk."""
    if _is_running_system(root):
        files.keep_json(state_dir / _FILE, {**_load(state_dir), "services": replaced_files.units()})


def problems(state_dir: Path, root: Path) -> list[Problem]:
    """The problems for a report, as far as they are still there."""
    if not _is_running_system(root):
        return []
    known = _load(state_dir)
    found = {REBOOT: [kernel] if (kernel := missing_kernel(root)) else []}
    # Services are only looked for after a sync: it reads the mappings of each process.
    still = set(replaced_files.units()) if known.get("services") else set()
    found[SERVICES] = sorted(still.intersection(known.get("services") or ()))
    if known.get("services") and found[SERVICES] != known["services"]:
        files.keep_json(state_dir / _FILE, {**known, "services": found[SERVICES]})
    if 0 <= time.time() - known.get("began", 0) < FOR:
        found[FAILED] = sorted(set(_failed_units()) - set(known["failed_before"]))
    return [_problem(code, found[code]) for code in CODES if found.get(code)]


def among(found: Iterable[Problem]) -> list[Problem]:
    """The problems of a report that come from this module."""
    return [problem for problem in found if problem["code"] in CODES]


def missing_kernel(root: Path, release: str = os.uname().release) -> Optional[str]:
    """The running kernel's release if its modules are gone, but those of another one are there."""
    modules = root / "usr/lib/modules"
    try:
        others = any(entry.is_dir() for entry in modules.iterdir())
    except OSError:
        return None
    return release if others and not (modules / release).is_dir() else None


def _is_running_system(root: Path) -> bool:
    """Not another root, and no container: its kernel and services aren't its own, or it has none."""
    if root.resolve() != Path("/"):
        return False
    return not any(os.path.exists(path) for path in ("/run/systemd/container", "/.dockerenv", "/run/.containerenv"))


def _failed_units() -> list[str]:
    """The units that systemd calls failed, at most NAMES; none where systemd isn't at work."""
    if not os.path.isdir("/run/systemd/system"):
        return []
    command = ["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager", "--full"]
    try:
        done = subprocess.run(
            command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return sorted(line.split()[0] for line in done.stdout.splitlines() if line.strip())[:NAMES]


def _load(state_dir: Path) -> dict[str, Any]:
    try:
        return dict(files.read_json(state_dir / _FILE) or {})
    except ValueError:
        return {}


def _problem(code: str, names: Iterable[str]) -> Problem:
    names = [printable(name, 255) for name in names]
    return {"code": code, "text": printable(_TEXTS[code].replace("{}", listed(names)), 1000), "names": names[:NAMES]}
