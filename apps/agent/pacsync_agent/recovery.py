"""What follows once pacman was started: settling and verification, and what to do when pacman or the agent died.

All of it goes by the journal, and all of it may be repeated. It must not know how an operation begins.
"""

from __future__ import annotations

import contextlib
from typing import Optional

from . import boot, kept_configuration, pacman, pacman_failure, result, running_hook, transaction
from . import journal as steps
from .context import Context
from .errors import AgentError, Failed, Interrupted, PacmanGoesOn
from .heartbeat import Heartbeat
from .machine import Machine, Packages
from .make_machine import machine_of
from .outcome import Outcome
from .running_hook import HookWatch

# How long a lease is (seconds) where an older agent's journal doesn't say: while pacman runs it can only be renewed.
LEASE = 120.0


def go_on(context: Context) -> None:
    """After the death of an agent that may have started pacman: wait for that pacman, then finish what it left."""
    journal = context.journal
    running = context.transaction
    said = "The pacman of an earlier run is still at work: waiting for it to finish."
    watch = HookWatch(context.conf, lambda hook: context.output.line(f"Its hook {hook.running()}."))
    with contextlib.ExitStack() as stack:
        if running.is_running() and not journal.is_repair:
            data = journal.data
            beats = Heartbeat(
                context.client,
                data["operation"],
                data["token"],
                data.get("lease", LEASE),
                phase="applying",
                poll=data.get("poll", 0),
            )
            heartbeat = stack.enter_context(beats)
            heartbeat.hook = lambda: running_hook.of(running.output(), context.conf)
        try:
            pacman.wait_for_orphan(
                running,
                context.conf.dbpath,
                lambda: context.output.line(said),
                on_output=watch.look,
            )
        except Interrupted:
            raise PacmanGoesOn from None
    machine = machine_of(context, journal.data["fetch"])
    with context.signals.shielded():
        try:
            if machine.clear_stale_lock():
                context.output.line("Removed the lock that the cut-off pacman left.")
            outcome = _judge(context, machine)
        finally:
            remove_rehearsal(context)
        if outcome is not None:
            result.end(context, outcome)


def _judge(context: Context, machine: Machine) -> Optional[Outcome]:
    """What the transaction that was begun came to; None when it wasn't begun (the journal is back at the claim)."""
    journal = context.journal
    if journal.step != steps.APPLY:
        return settle_and_verify(context, machine)
    # After a power cut files may be empty although their names, and pacman's status, are on the disk.
    power_cut = _power_was_cut(context)
    status = None if power_cut else context.transaction.last_status()
    if status == 0:
        return settle_and_verify(context, machine)
    again = power_cut or journal.is_repair  # a repair has no claim to begin with
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
    error = failure_of(context, pacman.Run(status or 137, context.transaction.output()))
    return after_failure(context, machine, error, cut_off=cut_off)


def _nothing_begun(context: Context, machine: Machine) -> bool:
    begun = pacman.begun(context.transaction.output())
    return not begun and machine.is_unchanged(context.journal.base, context.journal.data["install"])


def _power_was_cut(context: Context) -> bool:
    """Whether the machine was started again since pacman was."""
    return boot.is_another(context.journal.data.get("boot"))


def settle_and_verify(context: Context, machine: Machine) -> Outcome:
    """The steps after a transaction; all of them may be repeated."""
    journal = context.journal
    goal = journal.goal
    warnings = context.transaction.complaints(context.conf)
    try:
        if _power_was_cut(context):
            machine.mend_settled(goal)
        machine.flush()  # before the journal says that pacman is done
        if not journal.reached(steps.SETTLE):
            journal.enter(steps.SETTLE)
        machine.finish(goal)
        journal.enter(steps.VERIFY)
        machine.verify(goal, journal.data["problems"], journal.data["install"])
        warnings += machine.check_files(journal.data["install"], journal.data.get("began"))
        if journal.data["kind"] == "revert":
            warnings += kept_configuration.beside(context.conf, journal.data["install"], warnings)
    except AgentError as error:
        return Outcome.failed(error, warnings)
    return Outcome("succeeded", warnings=warnings)


def after_failure(context: Context, machine: Machine, error: Failed, *, cut_off: bool) -> Outcome:
    """pacman failed: nothing happened, or something half-way. Forward once more, else back, never left half."""
    journal = context.journal
    goal, base, install = journal.goal, journal.base, journal.data["install"]
    if not cut_off and machine.is_unchanged(base, install):
        return Outcome.failed(_nothing_changed(error))
    context.output.warn(f"{error.message} Going on from where it stopped.")
    try:
        known = {package.name for package in base}
        changed = transaction.difference(machine.installed(), base, reasons=False, check_broken=install)
        begun = changed or pacman.begun(context.transaction.output())
        if journal.is_repair or (_power_was_cut(context) and begun):
            # pacman begins only when no file is in its way: what is there now is its own.
            machine.begun = install
        machine.mend(goal, install, newcomers=[name for name in install if name not in known])
    except AgentError as second:
        context.output.warn(f"{second.message} Going back to where the machine was.")
        return _back(context, machine, base, Failed(second.code, second.message, second.hint))
    return settle_and_verify(context, machine)


def _back(context: Context, machine: Machine, base: Packages, error: Failed) -> Outcome:
    names = {package.name for package in base}
    touched = [name for name in context.journal.data["install"] if name in names]
    try:
        machine.mend(base, touched, cached_only=True)
        machine.finish(base)
        machine.verify(base, context.journal.data["problems"], touched)
        machine.check_files(touched, context.journal.data.get("began"))
    except AgentError as third:
        machine.remove_own_lock()
        if machine.is_unchanged(base, touched):
            return Outcome.failed(_nothing_changed(error))
        left = f"{error.message} The way back failed too: {third.message}"
        remedies = [one.hint for one in (third, error) if one.code == "file_conflict"]
        remedies += ["Put it right with pacman, and run `pacsync-agent sync`."]
        return Outcome.failed(Failed(error.code, left, remedies[0]))
    return Outcome.failed(
        Failed(error.code, f"{error.message} The machine was brought back to where it was.", error.hint)
    )


def _nothing_changed(error: AgentError) -> Failed:
    return Failed(error.code, f"{error.message} Nothing was changed.", error.hint)


def failure_of(context: Context, run: pacman.Run) -> Failed:
    """Why the transaction of the journal's operation failed."""
    journal = context.journal
    removed = {package.name for package in journal.base} - {package.name for package in journal.goal}
    return pacman_failure.of_run(run, context.conf, context.state_dir, removed.union(journal.data["install"]))


def remove_rehearsal(context: Context) -> None:
    """Remove what the rehearsal left, unless a pacman goes on that has its files there."""
    if not context.transaction.is_running():
        transaction.remove_rehearsal(context.rehearsal_dir)
