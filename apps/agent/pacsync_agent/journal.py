"""The journal: what the agent is about to do, on the disk before it does it. It must not know how things are done.

A step is written before its work begins, so after a crash the journal names the step that may be half done.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from apps.fleet.alpm import state
from apps.fleet.alpm.state import InstalledPackage

from . import files, no_room
from .errors import Local

# In the order in which they come.
CREATE, CLAIM, GATHER, REHEARSE, APPLY, SETTLE, VERIFY, REPORT = STEPS = (
    "create",
    "claim",
    "gather",
    "rehearse",
    "apply",
    "settle",
    "verify",
    "report",
)
FORMAT = 1
# Where the step before it, on the disk, leads a later agent to the same end.
REPEATABLE = {GATHER, REHEARSE, SETTLE, VERIFY, REPORT}


def packages_to_json(packages: Sequence[InstalledPackage]) -> str:
    """A set of packages for the journal."""
    return state.to_text(packages).decode()


def packages_from_json(text: str) -> list[InstalledPackage]:
    """Raises ValueError."""
    return state.parse(text.encode())


class Journal:
    """One operation in the making. `data` is what later steps and a later agent need, JSON only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: dict[str, Any] = {}

    def load(self) -> bool:
        """Read what an agent before left; False when there is nothing. Raises Local when it can't be understood."""
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

    @property
    def step(self) -> str:
        return str(self.data["step"])

    def enter(self, step: str, **changes: Any) -> None:
        """Write, durably, that `step` begins now. Raises OSError.

        REPEATABLE steps go on where there is no room for the word.
        """
        data = {**self.data, **changes, "format": FORMAT, "step": step}
        try:
            files.write_json(self.path, data)
        except OSError as error:
            if step not in REPEATABLE or not no_room.is_it(error):
                raise
        self.data = data

    def enter_unwritten(self, step: str, **changes: Any) -> None:
        """The same for this process alone, where even the first word has no room."""
        self.data = {**self.data, **changes, "format": FORMAT, "step": step}

    def reached(self, step: str) -> bool:
        """Whether `step` has begun."""
        return STEPS.index(self.step) >= STEPS.index(step)

    @property
    def is_repair(self) -> bool:
        """Whether it is of this machine alone: the server doesn't know it."""
        return self.data["operation"] is None

    @property
    def goal(self) -> list[InstalledPackage]:
        """What is to be installed in the end, from APPLY on."""
        return packages_from_json(self.data["goal"])

    @property
    def base(self) -> list[InstalledPackage]:
        """What was installed before, from APPLY on."""
        return packages_from_json(self.data["base"])

    def close(self) -> None:
        """The operation is over, or was given back: forget it."""
        self.data = {}
        files.remove(self.path)
