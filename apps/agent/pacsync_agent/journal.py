"""The journal: what the agent is about to do, written to the disk first. It must not know how it is done.

A step is written before its work begins, so after a crash the journal names the step that may be half done.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from apps.fleet.alpm import state
from apps.fleet.alpm.state import InstalledPackage

from .errors import Busy, Local
from .system import disk_full, files

# In the order in which they come.
CREATE, CLAIM, GATHER, REHEARSE, APPLY, SETTLE, VERIFY, REVERT, REPORT = STEPS = (
    "create",
    "claim",
    "gather",
    "rehearse",
    "apply",
    "settle",
    "verify",
    "revert",
    "report",
)
FORMAT = 1
# Steps that need not be on the disk: from the step before, a later agent comes to the same end.
REPEATABLE = {GATHER, REHEARSE, SETTLE, VERIFY, REPORT}


def packages_to_text(packages: Sequence[InstalledPackage]) -> str:
    """A set of packages for the journal."""
    return state.to_text(packages).decode()


def packages_from_text(text: str) -> list[InstalledPackage]:
    """Raises ValueError."""
    return state.parse(text.encode())


class Journal:
    """One operation in progress. `data` is what later steps and a later agent need, JSON only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: dict[str, Any] = {}

    def load(self) -> bool:
        """Read what an earlier agent left; False when there is nothing. Raises Local when it can't be understood."""
        try:
            data: Optional[dict[str, Any]] = files.read_json(self.path)
        except ValueError:
            data = {}
        if data is None:
            return False
        if data.get("format") != FORMAT or data.get("step") not in STEPS:
            raise Local(
                "journal_unreadable",
                f"The journal {self.path} of an unfinished operation can't be understood by this version of the agent.",
                "Finish it with the agent that wrote it, or look at the machine with `pacman -Dk` and delete the file.",
            )
        self.data = data
        return True

    def check_closed(self) -> None:
        """Raise Busy while an earlier run has left an operation, Local when it can't be understood."""
        if self.load():
            raise Busy(
                "operation_unfinished",
                "An operation of this machine is not finished.",
                "Run `pacsync-agent once` first.",
            )

    @property
    def step(self) -> str:
        return str(self.data["step"])

    def enter(self, step: str, **changes: Any) -> None:
        """Write durably that `step` begins now. Raises OSError.

        A full disk doesn't stop a REPEATABLE step.
        """
        data = {**self.data, **changes, "format": FORMAT, "step": step}
        try:
            files.write_json(self.path, data)
        except OSError as error:
            if step not in REPEATABLE or not disk_full.is_it(error):
                raise
        self.data = data

    def enter_unwritten(self, step: str, **changes: Any) -> None:
        """The same in memory only, for a disk that has no room even for the first step."""
        self.data = {**self.data, **changes, "format": FORMAT, "step": step}

    def reached(self, step: str) -> bool:
        """Whether `step` has begun."""
        return STEPS.index(self.step) >= STEPS.index(step)

    @property
    def is_repair(self) -> bool:
        """Whether it is a repair on this machine alone, which the server doesn't know."""
        return self.data["operation"] is None

    @property
    def unhealthy(self) -> Optional[dict[str, Any]]:
        """Once health commands failed and the sync is being reverted: what they said (operation/health_gate.py).

        From then on, goal and base are those of the revert.
        """
        said: Optional[dict[str, Any]] = self.data.get("unhealthy")
        return said

    @property
    def goal(self) -> list[InstalledPackage]:
        """What is to be installed in the end, from APPLY on."""
        return packages_from_text(self.data["goal"])

    @property
    def base(self) -> list[InstalledPackage]:
        """What was installed before, from APPLY on."""
        return packages_from_text(self.data["base"])

    @property
    def before(self) -> list[InstalledPackage]:
        """What was installed before the operation, from APPLY on, also if the transaction under way is its second."""
        return packages_from_text(self.first["base"]) if self.first else self.base

    @property
    def then(self) -> Optional[list[InstalledPackage]]:
        """The goal of the transaction that follows the one under way; None if none follows."""
        text = self.data.get("then")
        return packages_from_text(text) if text else None

    @property
    def first(self) -> Optional[dict[str, Any]]:
        """What the transaction before the one under way did: its `packages` in words, `warnings`, `log`, `base`."""
        first: Optional[dict[str, Any]] = self.data.get("first")
        return first

    def close(self) -> None:
        """The operation is over, or was given back: forget it."""
        self.data = {}
        files.remove(self.path)
