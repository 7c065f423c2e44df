"""Reinstalls packages of this machine for `sync --repair`, with a journal. It must not know the server."""

from __future__ import annotations

import time
from collections.abc import Sequence

from .. import journal as steps
from ..context import Context
from ..errors import AgentError
from ..pacman import execution
from ..system import boot_id
from ..transaction.machine import Machine
from ..transaction.machine_factory import machine_of
from . import ending, recovery
from .ending import EndedOperation
from .operation_result import OperationResult


def repair(context: Context, names: Sequence[str]) -> EndedOperation:
    """Reinstall these packages in their installed versions; their files are in the cache by now."""
    machine = machine_of(context)
    packages = steps.packages_to_text([package.as_installed() for package in machine.installed().values()])
    problems = sorted(execution.database_problems(machine.config()))
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
            boot=boot_id.current(),
            began=time.time(),
        )
        try:
            ending.end(context, _recover_and_settle(context, machine))
        finally:
            recovery.remove_rehearsal(context)
    return ending.send(context)


def _recover_and_settle(context: Context, machine: Machine) -> OperationResult:
    install = context.journal.data["install"]
    try:
        machine.begun = install
        machine.recover(context.journal.goal, install, cached_only=True)
    except AgentError as error:
        return OperationResult.failed(error)
    return recovery.settle_and_verify(context, machine)
