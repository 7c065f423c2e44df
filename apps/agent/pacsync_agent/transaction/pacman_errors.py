"""The error for a pacman that failed: the first cause in its own words, then what helps.

It must not know operations.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from ..databases import local_db
from ..errors import READ_ONLY_HINT, Failed, pacman_unusable
from ..examination import file_conflicts
from ..pacman import error_output, running_hook
from ..pacman.configuration import PacmanConf
from ..pacman.execution import Run
from ..protection import permission

SHOWN = 5  # lines of its output; the operation's log has the rest
_READ_ONLY = re.compile(r"Partition (\S+) is mounted read[- ]only|Read-only file system")


def of_run(run: Run, conf: PacmanConf, state_dir: Path, touched: Collection[str]) -> Failed:
    """The error, with a code for the common cases. `touched`: what the transaction changes or removes."""
    reason = error_output.did_not_start(run.status, run.output)
    if reason:
        unusable = pacman_unusable(reason)
        return Failed(unusable.code, unusable.message, unusable.hint)
    if file_conflicts.of(run) or file_conflicts.between(run):
        essential = permission.essential(conf, state_dir, local_db.read(conf.dbpath))
        return file_conflicts.failure(run, conf, touched, essential)
    commands = [str(one) for one in error_output.failed_commands(run.output, running_hook.ran(conf))]
    said = [*commands, *run.errors]
    more = f"; and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    text = ("; ".join(said[:SHOWN]) or f"it ended with status {run.status}") + more
    if any("unable to lock database" in line for line in said):
        return Failed("database_locked", f"Another pacman came first: {text}.", "Wait for it to finish, and try again.")
    read_only = _READ_ONLY.search(run.output)
    if read_only:
        place = read_only[1] or "A file system"
        return Failed("read_only", f"{place} is mounted read-only, so pacman could not write: {text}.", READ_ONLY_HINT)
    if "No space left" in run.output or "not enough free disk space" in run.output:
        return Failed("disk_full", f"The disk is full: {text}.", "Free some space, and try again.")
    hint = f"All that it said is in {state_dir / 'pacman.log'}."
    if commands:
        hint = f"Put right what it complains of, or remove the hook, and sync again. {hint}"
    return Failed("pacman_failed", f"pacman could not do it: {text}.", hint)
