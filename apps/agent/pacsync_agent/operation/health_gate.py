"""Runs the machine's health commands after an operation, and reverts a sync if one fails and the machine wants that.

All of it follows the journal: it runs within the operation, before its result. A crash in the middle runs the commands
again; once they have failed, the journal says so (REVERT), and they decide nothing more. It must not know how a
transaction works.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .. import journal as steps
from ..checkin import report
from ..context import Context
from ..errors import AgentError, Failed, HealthChecksStopped, Refused
from ..health_commands import checking, command_files, health_record
from ..health_commands.checking import HealthReport
from ..health_commands.command_files import CommandFiles
from ..health_commands.command_process import Stopped as CommandStopped
from ..mirrors.network import Stopped as DownloadStopped
from ..pacman import lock_check
from ..protection import permission
from ..system import boot_id, disk_full
from ..system.signals import Signals
from ..transaction import package_differences
from ..transaction.machine_factory import machine_of
from . import ending, recovery, signed_operation
from .operation_result import OperationResult

# The codes of the results: the machine stays as it is, the sync was reverted, it couldn't be.
CODES = ("health_check_failed", "health_check_reverted", "health_revert_failed")


def judge(context: Context, outcome: OperationResult) -> OperationResult:
    """The operation's result, of that of its transaction. A signal stops it: raises HealthChecksStopped, OSError."""
    if context.journal.unhealthy:
        return _of_revert(context, context.journal.unhealthy, outcome)
    if outcome.outcome != "succeeded" or context.journal.is_repair:
        return outcome
    found = command_files.find(context.conf.root)
    checked = run(context, found)
    outcome = replace(outcome, warnings=(*outcome.warnings, *checked.ignored), checks=checked.log)
    if not checked.failed:
        return outcome
    if context.journal.data["kind"] != "sync" or not context.health.reverts:
        return _failed(context, checked, outcome)
    said = {"cause": checked.cause, "details": checked.details, "log": checked.log}
    context.output.warn(_sentence(checked.cause))
    context.journal.enter(steps.REVERT, unhealthy=said)
    return _of_revert(context, said, _revert(context))


def judge_alone(context: Context, outcome: OperationResult) -> OperationResult:
    """The same with heartbeats, for an agent that goes on with the operation of an earlier one."""
    if context.journal.is_repair or not command_files.find(context.conf.root).commands:
        return judge(context, outcome)
    with recovery.heartbeat_of(context) as heartbeat:
        heartbeat.progress = lambda: context.output.last_progress
        return judge(context, outcome)


def go_on(context: Context) -> None:
    """Revert the journal's sync, whose health commands failed before an earlier agent ended."""
    said = context.journal.unhealthy or {}
    with context.signals.shielded(), recovery.heartbeat_of(context) as heartbeat:
        heartbeat.progress = lambda: context.output.last_progress
        ending.end(context, _of_revert(context, said, _revert(context)))


def run(context: Context, found: CommandFiles) -> HealthReport:
    """Run the commands, and keep for the reports which fail. Raises HealthChecksStopped."""
    count = len(found.commands)
    try:
        checked = checking.check(
            found,
            context.conf.root,
            context.health,
            is_to_stop=_stops(context.signals),
            on_command=lambda number: context.output.progress("checking", number, count),
        )
    except CommandStopped:
        raise HealthChecksStopped from None
    health_record.keep(context.state_dir, checked)
    return checked


def _stops(signals: Signals) -> Callable[[], bool]:
    """Whether a signal asks the agent to stop: SIGTERM, or a Ctrl-C since now."""
    before = signals.interrupts
    return lambda: signals.is_to_leave() or signals.interrupts > before


def _failed(context: Context, checked: HealthReport, outcome: OperationResult) -> OperationResult:
    hint = "Put right what was found; `pacsync-agent health` runs the commands again."
    if context.journal.data["kind"] == "sync":
        hint += " `pacsync-agent revert` goes back to the packages from before the sync."
    error = Failed("health_check_failed", f"{_sentence(checked.cause)}{_lines(checked.details)}", hint)
    return replace(OperationResult.failed(error, outcome.warnings), checks=checked.log)


def _of_revert(context: Context, said: dict[str, Any], outcome: OperationResult) -> OperationResult:
    """The result of a sync whose health commands failed, by that of the transaction that reverted it."""
    cause, details = said["cause"], _lines(said["details"])
    if outcome.outcome == "succeeded":
        health_record.forget(context.state_dir)
        error = Failed(
            "health_check_reverted",
            f"{_sentence(cause)} So the sync was reverted.{details}",
            "Put right what was found, or exclude the package in the pool. Then sync again: automatic sync rests for "
            "this target.",
        )
    else:
        error = Failed(
            "health_revert_failed",
            f"{_sentence(cause)} The sync couldn't be reverted: {outcome.message}{details}",
            f"{outcome.hint} Then run `pacsync-agent revert`.".lstrip(),
        )
    return replace(OperationResult.failed(error, outcome.warnings), checks=said["log"])


def _sentence(clause: str) -> str:
    return f"{clause[0].upper()}{clause[1:]}."


def _lines(details: str) -> str:
    return f"\n{details}" if details else ""


def _revert(context: Context) -> OperationResult:
    """Bring the machine back to the packages from before the sync, with the step REVERT in the journal."""
    context.output.line("Going back to the packages from before the sync.")
    try:
        return _to_base(context)
    except AgentError as error:
        return OperationResult.failed(error)
    except DownloadStopped:
        raise HealthChecksStopped from None
    except OSError as error:
        if context.journal.step == steps.APPLY:
            raise  # the next start finishes it
        return OperationResult.failed(disk_full.as_agent_error(error, (context.state_dir,)))
    finally:
        recovery.remove_rehearsal(context)


def _to_base(context: Context) -> OperationResult:
    """As `revert` does: gathered, rehearsed, journaled. Raises AgentError as long as nothing was changed."""
    journal = context.journal
    before, synced = journal.before, journal.goal
    machine = machine_of(context, journal.data["fetch"], signed=signed_operation.of_journal(journal))
    installed = machine.installed()
    _check_unchanged(context, bool(package_differences.difference(installed, synced, reasons=False)))
    held, groups = report.holds(context, installed), context.conf.ignore_groups
    permit = permission.of(context.conf, context.state_dir, context.protect, journal.data.get("forced") or ())
    prepared = machine.prepare(before, held=held, ignored_groups=groups, permit=permit)
    _check_unchanged(context, machine.installed() != installed)
    context.transaction.clear()  # before the journal says that another one begins: its status isn't this one's
    journal.enter(
        steps.APPLY,
        goal=steps.packages_to_text(before),
        base=steps.packages_to_text(synced),
        first=None,
        install=[package.name for package in prepared.plan.install],
        problems=sorted(prepared.problems),
        boot=boot_id.current(),
        began=time.time(),
    )
    return recovery.run_to_end(context, machine, prepared)


def _check_unchanged(context: Context, is_changed: bool) -> None:
    """Raise Busy where another pacman is at work, Refused where one was: what it did is not to be lost."""
    lock_check.check_unlocked(context.conf)
    if is_changed:
        raise Refused(
            "base_changed",
            "The packages of this machine were changed after the sync.",
            "Look at what was changed (`/var/log/pacman.log`).",
        )
