"""Calls systemctl for a machine's units. It must not know what a unit is for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ..errors import Failed, Local
from ..pacman.configuration import ENVIRONMENT

PATIENCE = 120  # seconds for one systemctl


class Systemd:
    """The systemd of the machine beneath `root`. Where it doesn't run, units can be enabled, but not started."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._is_here = os.path.realpath(root) == "/"

    @property
    def is_installed(self) -> bool:
        return (self.root / "usr/lib/systemd/systemd").exists()

    @property
    def is_running(self) -> bool:
        """Whether it is what started this machine (sd_booted(3)): not in a chroot, not in most containers."""
        return self._is_here and os.path.isdir("/run/systemd/system")

    def is_enabled(self, unit: str) -> bool:
        return self._run("is-enabled", unit).stdout.strip() == "enabled"

    def is_active(self, unit: str) -> bool:
        return self._run("is-active", unit).stdout.strip() in {"active", "activating", "reloading"}

    def run(self, *command: str) -> None:
        """Run `systemctl`. Raises Failed with the first line of its output."""
        done = self._run(*command)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()
            raise Failed(
                "service_failed",
                f"`systemctl {' '.join(command)}` failed: {said[0].rstrip('.')}.",
                "Put that right, and run the command again.",
            )

    def try_to_run(self, *command: str) -> None:
        """Run `systemctl`; a failure is ignored."""
        self._run(*command)

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        words = ["systemctl", *([] if self._is_here else ["--root", str(self.root)]), "--quiet", *command]
        if command[0].startswith("is-"):
            words.remove("--quiet")  # it would be silent about its answer
        try:
            return subprocess.run(
                words, env=ENVIRONMENT, capture_output=True, text=True, errors="replace", timeout=PATIENCE
            )
        except FileNotFoundError:
            raise Local("program_missing", "systemctl was not found here, and only it can enable a unit.") from None
        except subprocess.TimeoutExpired:
            raise Failed("service_failed", f"`{' '.join(words)}` wasn't done within {PATIENCE} s.") from None
