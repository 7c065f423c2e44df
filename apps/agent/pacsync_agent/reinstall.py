"""Installs packages of this machine once more, without the server: `sync --repair`. Journaled as an operation is."""

from __future__ import annotations

import time
from collections.abc import Sequence

from . import boot, pacman, recovery, result
from . import journal as steps
from .context import Context
from .errors import AgentError
from .machine import Machine
from .make_machine import machine_of
from .outcome import Outcome
from .result import Ended


def repair(context: Context, names: Sequence[str]) -> Ended:
    """Install these packages once more, in the versions that they have; their files are in the cache by now."""
    machine = machine_of(context)
    packages = steps.packages_to_json([package.as_installed() for package in machine.installed().values()])
    problems = sorted(pacman.database_problems(machine.config()))
    with context.signals.shielded():
        context.transaction.clear()
        context.journal.enter(
            steps.APPLY,
            kind="repair",
            operation=None,
            token=None,
            here=True,
            fetch=[],
            install=list(names),
            goal=packages,
            base=packages,
            problems=problems,
            boot=boot.current(),
            began=time.time(),
        )
        try:
            result.end(context, _mend_and_settle(context, machine))
        finally:
            recovery.remove_rehearsal(context)
    return result.send(context)


def _mend_and_settle(context: Context, machine: Machine) -> Outcome:
    install = context.journal.data["install"]
    try:
        machine.begun = install
        machine.mend(context.journal.goal, install, cached_only=True)
    except AgentError as error:
        return Outcome.failed(error)
    return recovery.settle_and_verify(context, machine)
