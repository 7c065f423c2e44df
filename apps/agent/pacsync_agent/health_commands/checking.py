"""Runs all health commands of the machine, and says what came of it. It must not know operations."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..terminal.listing import listed
from . import command_process
from .command_files import CommandFiles
from .command_process import CommandResult
from .health_settings import HealthSettings

LAST_LINES = 3  # of a failed command's output, in a message
LOG = 8_000  # characters of all outputs in the log of an operation


@dataclass(frozen=True)
class HealthReport:
    """`results` in the order in which the commands ran; `ignored` has a clause for each file that wasn't run."""

    results: tuple[CommandResult, ...]
    ignored: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[CommandResult, ...]:
        return tuple(result for result in self.results if not result.passed)

    @property
    def cause(self) -> str:
        """Which commands failed and why, as a clause; empty if none did."""
        failed = self.failed
        if len(failed) == 1:
            return f"health command {failed[0].name} {failed[0].why}"
        texts = listed(f"{result.name} {result.why}" for result in failed)
        return f"{len(failed)} health commands failed: {texts}" if failed else ""

    @property
    def details(self) -> str:
        """The last lines of what the failed commands printed, with the commands' names."""
        lines = [
            f"{result.name}: {line}" for result in self.failed for line in result.output.splitlines()[-LAST_LINES:]
        ]
        return "\n".join(lines)

    @property
    def log(self) -> str:
        """What each command printed, and how it ended, for the log of an operation."""
        texts = [
            f"{result.output}\n[health command {result.name} {result.why or 'passed'}]\n".lstrip("\n")
            for result in self.results
        ]
        return "".join(texts)[-LOG:]


def check(
    found: CommandFiles,
    root: Path,
    settings: HealthSettings,
    *,
    is_to_stop: Callable[[], bool],
    on_command: Callable[[int], None] = lambda number: None,
) -> HealthReport:
    """Run all of them, also after one that fails: each within its limit, and all within theirs.

    `on_command` gets how many have ended so far. Raises command_process.Stopped.
    """
    deadline = time.monotonic() + settings.total_timeout
    each, whole = f"{settings.timeout:.0f} s", f"the {settings.total_timeout:.0f} s that all have together"
    results = []
    for number, command in enumerate(found.commands):
        on_command(number)
        left = deadline - time.monotonic()
        if left <= 0:
            results.append(CommandResult(command_process.name_of(command), None, f"wasn't run within {whole}"))
            continue
        seconds, limit = (settings.timeout, each) if settings.timeout <= left else (left, whole)
        results.append(command_process.run(command, root, seconds=seconds, limit=limit, is_to_stop=is_to_stop))
    return HealthReport(tuple(results), found.ignored)
