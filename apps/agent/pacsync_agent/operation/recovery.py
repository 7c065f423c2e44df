"""What follows the start of pacman: settling and verification, and recovery when pacman or the agent died.

All of it follows the journal, and may be repeated. It must not know how an operation begins.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Optional

from .. import journal as steps
from ..context import Context
from ..errors import AgentError, Failed, Interrupted, PacmanGoesOn
from ..examination import after_sync, pacnew_files
from ..pacman import execution, running_hook
from ..pacman.running_hook import HookWatch
from ..server.client import ApiError
from ..system import boot_id, disk_full
from ..terminal.listing import named_and
from ..transaction import package_differences, pacman_errors, rehearsal
from ..transaction.machine import Machine, Packages
from ..transaction.machine_factory import machine_of
from ..transaction.rehearsal import Prepared
from . import ending, signed_operation
from .heartbeat import Heartbeat
from .operation_result import LOG_TAIL, OperationResult

# Seconds of a lease where an older agent's journal doesn't say: while pacman runs, it can only be renewed.
LEASE = 120.0


def go_on(context: Context, conclude: Callable[[Context, OperationResult], OperationResult]) -> None:
    """After the death of an agent that may have started pacman: wait for that pacman, then finish its work.

    `conclude` makes the operation's result of the transaction's.
    """
    journal = context.journal
    running = context.transaction
    said = "The pacman of an earlier run is still at work: waiting for it to finish."
    watch = HookWatch(context.conf, lambda hook: context.output.line(f"Its hook {hook.running()}."))
    with contextlib.ExitStack() as stack:
        if running.is_running() and not journal.is_repair:
            heartbeat = stack.enter_context(heartbeat_of(context))
            heartbeat.hook = lambda: running_hook.of(running.output(), context.conf)
        try:
            execution.wait_for_orphan(
                running,
                context.conf.dbpath,
                lambda: context.output.line(said),
                on_output=watch.look,
            )
        except Interrupted:
            raise PacmanGoesOn from None
    machine = machine_of(context, journal.data["fetch"], signed=signed_operation.of_journal(journal))
    with context.signals.shielded():
        try:
            if machine.clear_stale_lock():
                context.output.line("Removed the lock that the cut-off pacman left.")
            outcome = _judge(context, machine)
        finally:
            remove_rehearsal(context)
        if outcome is not None:
            ending.end(context, conclude(context, outcome))


def heartbeat_of(context: Context) -> Heartbeat:
    """Heartbeats for an operation of the journal that an earlier agent has begun to apply."""
    data = context.journal.data
    return Heartbeat(
        context.client,
        data["operation"],
        data["token"],
        data.get("lease", LEASE),
        phase="applying",
        poll=data.get("poll", 0),
    )


def _judge(context: Context, machine: Machine) -> Optional[OperationResult]:
    """The result of the transaction; None when it wasn't begun (then the journal is back at the claim, or closed)."""
    journal = context.journal
    if journal.step != steps.APPLY:
        return settle_and_verify(context, machine)
    # After a power cut files may be empty although their names, and pacman's status, are on the disk.
    power_cut = _power_was_cut(context)
    begins_again = not (journal.is_repair or journal.unhealthy)  # else it is finished in any case
    if power_cut and begins_again and _was_rolled_back(context, machine):
        context.output.line("The operation had succeeded, and a snapshot from before it was restored: leaving it so.")
        journal.close()
        return None
    status = None if power_cut else context.transaction.last_status()
    if status == 0:
        return settle_and_verify(context, machine)
    # A repair has no claim to go back to. After a first transaction, and in the revert of a sync whose health commands
    # failed, the machine isn't in the claim's base any more.
    again = power_cut or journal.is_repair or journal.first is not None or journal.unhealthy is not None
    if not (again or context.transaction.was_started()):
        context.output.line("An earlier run stopped right before pacman: beginning again.")
        journal.enter(steps.CLAIM)
        return None
    cut_off = status is None or status >= 128
    if cut_off and not again and _nothing_begun(context, machine):
        context.output.line("An earlier run was cut off before pacman changed anything: beginning again.")
        journal.enter(steps.CLAIM)
        return None
    context.output.line("An earlier run was cut off while pacman was at work: finishing it.")
    error = failure_of(context, execution.Run(status or 137, context.transaction.output()))
    return after_failure(context, machine, error, cut_off=cut_off)


def _was_rolled_back(context: Context, machine: Machine) -> bool:
    """Whether the journal comes from a snapshot that was taken while pacman was about to begin, and restored since.

    Programs like snap-pac take one in a hook before each transaction. Raises Unavailable: without the server, nobody
    knows whether the operation has ended, and nothing was begun that would have to be finished.
    """
    if not _nothing_begun(context, machine):
        return False
    try:
        answer = context.client.get(f"/operations/{context.journal.data['operation']}")
    except ApiError:
        return False
    return bool(answer["status"] == "succeeded")


def _nothing_begun(context: Context, machine: Machine) -> bool:
    begun = execution.begun(context.transaction.output())
    return not begun and machine.is_unchanged(context.journal.base, context.journal.data["install"])


def _power_was_cut(context: Context) -> bool:
    """Whether the machine has been rebooted since pacman started."""
    return boot_id.is_another(context.journal.data.get("boot"))


def run_to_end(context: Context, machine: Machine, prepared: Prepared) -> OperationResult:
    """Run the rehearsed transaction that the journal has, settle and verify, or recover from its failure."""
    return _after_run(context, machine, machine.apply(prepared))


def _after_run(context: Context, machine: Machine, run: Optional[execution.Run]) -> OperationResult:
    if run is not None and run.status != 0:
        return after_failure(context, machine, failure_of(context, run), cut_off=run.status >= 128)
    return settle_and_verify(context, machine)


def settle_and_verify(context: Context, machine: Machine) -> OperationResult:
    """The steps after a transaction, then the next transaction if one follows, and the result.

    All of it may be repeated.
    """
    journal = context.journal
    goal = journal.goal
    warnings = context.transaction.complaints(context.conf)
    if journal.first:
        warnings = (*journal.first["warnings"], *warnings)
    try:
        if _power_was_cut(context):
            machine.repair_settled_entries(goal)
        machine.flush()  # before the journal says that pacman is done
        if not journal.reached(steps.SETTLE):
            journal.enter(steps.SETTLE)
        machine.finish(goal)
        journal.enter(steps.VERIFY)
        machine.verify(goal, journal.data["problems"], journal.data["install"])
        warnings += machine.check_files(journal.data["install"], journal.data.get("began"))
        if journal.data["kind"] == "revert" or journal.unhealthy:
            warnings += pacnew_files.warnings(context.conf, journal.data["install"], warnings)
    except AgentError as error:
        return OperationResult.failed(error, warnings)
    then = journal.then
    if then is None:
        after_sync.look(context.state_dir, context.conf.root)
    return _second(context, then, warnings) if then else OperationResult("succeeded", warnings=warnings)


def _second(context: Context, goal: Packages, warnings: tuple[str, ...]) -> OperationResult:
    """The transaction after the one that brought newer keyrings, with them. It was rehearsed, so it isn't given up."""
    journal = context.journal
    signed = signed_operation.of_journal(journal)
    machine = machine_of(context, journal.data["fetch"], threading.Event(), signed)
    words = [f"{package.name} {package.version}" for package in journal.goal if package.name in journal.data["install"]]
    log = context.transaction.output()[-LOG_TAIL:]
    first = {"packages": words, "warnings": warnings, "log": log, "base": journal.data["base"]}
    try:
        base = machine.installed()
        prepared = machine.prepare(goal, held=(), warn=False)
        context.transaction.clear()  # before the journal says that another one begins: its status isn't this one's
        journal.enter(
            steps.APPLY,
            goal=steps.packages_to_text(goal),
            then=None,
            first=first,
            base=steps.packages_to_text([package.as_installed() for package in base.values()]),
            install=[package.name for package in prepared.plan.install],
            problems=sorted(prepared.problems),
            boot=boot_id.current(),
            began=time.time(),
        )
        run = machine.apply(prepared)
    except AgentError as error:
        return OperationResult.failed(_unchanged(error, first), warnings)
    except OSError as error:
        if context.transaction.was_started():
            raise  # the next start finishes it
        failed = disk_full.as_agent_error(error, (context.state_dir,))
        return OperationResult.failed(_unchanged(failed, first), warnings)
    return _after_run(context, machine, run)


def after_failure(context: Context, machine: Machine, error: Failed, *, cut_off: bool) -> OperationResult:
    """After a failed pacman: recover forward, else go back; the machine is never left halfway."""
    journal = context.journal
    goal, base, install = journal.goal, journal.base, journal.data["install"]
    if not cut_off and machine.is_unchanged(base, install):
        return OperationResult.failed(_unchanged(error, journal.first))
    context.output.warn(f"{error.message} Going on from where it stopped.")
    try:
        known = {package.name for package in base}
        changed = package_differences.difference(machine.installed(), base, reasons=False, check_broken=install)
        begun = changed or execution.begun(context.transaction.output())
        if journal.is_repair or (_power_was_cut(context) and begun):
            # pacman begins only when no file is in its way: what is there now is its own.
            machine.begun = install
        machine.recover(goal, install, newcomers=[name for name in install if name not in known])
    except AgentError as second:
        context.output.warn(f"{second.message} Going back to where the machine was.")
        return _back(context, machine, base, Failed(second.code, second.message, second.hint))
    return settle_and_verify(context, machine)


def _back(context: Context, machine: Machine, base: Packages, error: Failed) -> OperationResult:
    names = {package.name for package in base}
    touched = [name for name in context.journal.data["install"] if name in names]
    try:
        machine.recover(base, touched, cached_only=True)
        machine.finish(base)
        machine.verify(base, context.journal.data["problems"], touched)
        machine.check_files(touched, context.journal.data.get("began"))
    except AgentError as third:
        machine.remove_own_lock()
        if machine.is_unchanged(base, touched):
            return OperationResult.failed(_unchanged(error, context.journal.first))
        left = f"{error.message} The way back failed too: {third.message}"
        remedies = [one.hint for one in (third, error) if one.code == "file_conflict"]
        remedies += ["Put it right with pacman, and run `pacsync-agent sync`."]
        return OperationResult.failed(Failed(error.code, left, remedies[0]))
    back = "The machine was brought back to where it was."
    return OperationResult.failed(_unchanged(error, context.journal.first, back))


def _unchanged(error: AgentError, first: Optional[Mapping[str, Any]], where: str = "Nothing was changed.") -> Failed:
    """The error with the state that the machine is in: `where`, unless newer keyrings (`first`) were installed."""
    if first:
        verbs = ("were", "stay") if len(first["packages"]) > 1 else ("was", "stays")
        keyrings = named_and(first["packages"])
        where = f"{keyrings} {verbs[0]} installed first, and {verbs[1]}; everything else is as it was."
    return Failed(error.code, f"{error.message} {where}", error.hint)


def failure_of(context: Context, run: execution.Run) -> Failed:
    """Why the transaction of the journal's operation failed."""
    journal = context.journal
    removed = {package.name for package in journal.base} - {package.name for package in journal.goal}
    return pacman_errors.of_run(run, context.conf, context.state_dir, removed.union(journal.data["install"]))


def remove_rehearsal(context: Context) -> None:
    """Remove the files of the rehearsal, unless a running pacman needs them."""
    if not context.transaction.is_running():
        rehearsal.remove_rehearsal(context.rehearsal_dir)
