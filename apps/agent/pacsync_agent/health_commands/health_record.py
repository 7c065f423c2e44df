"""Which health commands failed when they ran last: kept in the agent's directory, and reported until they pass.

It must not run them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..system import files
from ..terminal.listing import listed
from .checking import HealthReport

CODE = "health_check_failed"
_NAMES = 100  # reported


def keep(state_dir: Path, report: HealthReport) -> None:
    """Remember what failed; nothing if all passed, or there are no commands."""
    if report.failed:
        files.keep_json(state_dir / "health.json", {"failed": [result.name for result in report.failed]})
    else:
        forget(state_dir)


def forget(state_dir: Path) -> None:
    """Nothing is known: the packages are others now, or there are no commands any more."""
    if (state_dir / "health.json").exists():
        files.remove(state_dir / "health.json")


def problems(state_dir: Path) -> list[dict[str, Any]]:
    """The problem {code, text, names} for a report, if there is one."""
    try:
        known = files.read_json(state_dir / "health.json")
        failed = [str(name) for name in known["failed"]] if known else []
    except (OSError, ValueError, KeyError, TypeError):
        return []
    text = f"When its health commands ran last, these failed: {listed(failed)}."
    return [{"code": CODE, "text": text[:1000], "names": failed[:_NAMES]}] if failed else []


def among(problems: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the problems that are about it."""
    return [problem for problem in problems if problem["code"] == CODE]
