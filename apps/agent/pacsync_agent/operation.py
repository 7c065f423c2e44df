"""One operation from its claim to its result, by the journal's steps. It must not know the command line.

Whatever the step at which an agent dies, `carry_out` of the next agent goes on from the journal.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from apps.fleet.alpm import state
from apps.fleet.alpm.state import InstalledPackage

from . import (
    boot,
    cancelled,
    local_db,
    lock_check,
    no_room,
    pacman,
    permission,
    report,
    running_hook,
    transaction,
    wanted,
)
from . import journal as steps
from .api import ApiError
from .cache import Cache
from .candidates import Trust
from .context import Context
from .errors import AgentError, Failed, Interrupted, LeaseLost, PacmanGoesOn, Refused, Unavailable
from .events import EitherEvent
from .heartbeat import Heartbeat
from .machine import Machine, Packages, pacman_failed
from .network import Stopped
from .outcome import Outcome
from .revision_seen import RevisionSeen
from .running_hook import HookWatch

# How often the lease of one operation is asked for anew: a suspended machine loses it, and may have it again.
LEASES = 3
# How long a lease is at least (seconds), where nobody said: while pacman runs it can't be lost, only renewed.
LEASE = 120.0
FIELDS = ("name", "version", "arch", "reason")


@dataclass(frozen=True)
class Ended:
    """An operation that is over: what the agent says of it, and the server's answer (None: it couldn't be told)."""

    kind: str
    outcome: Outcome
    operation: dict[str, Any]


def packages_to_json(packages: Sequence[InstalledPackage]) -> str:
    """A set of packages for the journal."""
    return state.to_text(packages).decode()


def packages_from_json(text: str) -> list[InstalledPackage]:
    return state.parse(text.encode())


def adopt(context: Context, operation: dict[str, Any], *, here: bool) -> None:
    """Make an operation this agent's: the lease token is on the disk before the server hears of it.

    `here`: a person asked for it on this machine, and may have forced the removal of protected packages.
    """
    context.journal.enter(
        steps.CLAIM,
        kind=operation["kind"],
        operation=operation["id"],
        token=str(uuid.uuid4()),
        base=None,
        here=here,
        forced=list(context.force_remove) if here else [],
    )


def carry_out(context: Context, *, give_back: bool) -> Optional[Ended]:
    """Bring the journal's operation to its end; None when it isn't this agent's any more.

    `give_back`: a signal ends the operation as failed, instead of leaving it to the next start. Raises Unavailable
    (the journal stays, and the next start goes on), LeaseLost (again and again), Interrupted, Busy.
    """
    journal = context.journal
    for _ in range(LEASES):
        if not journal.reached(steps.APPLY):
            claim = _claim(context)
            if claim is None:
                return None
            _work(context, claim, give_back=give_back)
        elif journal.step != steps.REPORT:
            _go_on(context)
        if journal.reached(steps.REPORT):
            return send(context)
    journal.close()
    raise LeaseLost


def _claim(context: Context) -> Optional[dict[str, Any]]:
    """The lease with everything that belongs to it; None when it isn't to be had (and the journal is closed)."""
    journal = context.journal
    text = local_db.state_text(local_db.read(context.conf.dbpath))
    operation = str(journal.data["operation"])
    body = {"lease_token": journal.data["token"], "state": state.digest_of(text)}
    try:
        claim = context.client.post(f"/operations/{operation}/claim", body)
    except ApiError as error:
        journal.close()
        if error.code in {"not_claimable", "base_changed", "not_found"}:
            _stop_if_cancelled(context, operation)
            context.output.line(error.detail)
            return None
        raise error.as_agent_error(context.credentials.name) from None
    if claim["operation"]["base_state"] != body["state"]:
        # The lease was had before, and somebody ran pacman since.
        _end(context, Outcome.failed(_base_changed()))
        send(context)
        return None
    journal.enter(steps.GATHER)
    return claim


def _stop_if_cancelled(context: Context, operation: str) -> None:
    try:
        cancelled.check(context.client, operation)
    except Refused:
        Cache(context.conf, context.state_dir).remove_private()  # nobody goes on with it
        raise


def _base_changed() -> Refused:
    return Refused("base_changed", "The packages of this machine changed since the operation was made.", "Try again.")


def _work(context: Context, claim: dict[str, Any], *, give_back: bool) -> None:
    journal = context.journal
    operation, token = journal.data["operation"], journal.data["token"]
    try:
        with Heartbeat(context.client, operation, token, claim["lease_seconds"], poll=context.poll) as heartbeat:
            heartbeat.hook = lambda: running_hook.of(context.transaction.output(), context.conf)
            outcome = _reach(context, claim, heartbeat)
    except (LeaseLost, Stopped):
        context.output.line("The lease of the operation ran out before pacman was started: asking for it again.")
        journal.enter(steps.CLAIM)  # the answer tells whether another run has the operation by now
        return
    except Unavailable:
        journal.enter(steps.CLAIM)  # pacman was not started; the next start asks for the lease again
        raise
    except Interrupted as error:
        if not give_back:
            raise
        with context.signals.shielded():
            _end(context, Outcome.failed(error))
        return
    except AgentError as error:
        outcome = Outcome.failed(error)
    except OSError as error:
        if context.transaction.was_started() and journal.reached(steps.APPLY):
            raise  # the next start finishes it
        outcome = Outcome.failed(no_room.as_agent_error(error, (context.state_dir,)))
    finally:
        _remove_rehearsal(context)
    _end(context, outcome)


def _remove_rehearsal(context: Context) -> None:
    """Unless a pacman goes on that has its files there."""
    if not context.transaction.is_running():
        transaction.remove_rehearsal(context.rehearsal_dir)


def _goal_of(claim: dict[str, Any]) -> list[InstalledPackage]:
    """The packages that the claim names, once they are seen to be the operation's target."""
    target = claim["target"]
    try:
        goal = [InstalledPackage(*(package[key] for key in FIELDS)) for package in target["packages"]]
        if state.digest_of(state.to_text(goal)) == claim["operation"]["target_state"]:
            return goal
        reason = "its packages don't have its digest"
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error)
    raise Failed("target_invalid", f"The server's target makes no sense: {reason}.", "Look at the server's log.")


def _check_unmanaged(claim: dict[str, Any], base: Packages, goal: Packages) -> None:
    """Raise Failed when the goal changes a package that the target itself says it doesn't manage."""
    names = {entry["name"] for entry in claim["target"].get("unmanaged") or ()}
    changed = {package.name for package in set(base) ^ set(goal)} & names
    if changed:
        listed = ", ".join(sorted(changed)[:10])
        raise Failed(
            "target_invalid",
            f"The server's target makes no sense: it changes {listed}, which it doesn't manage.",
            "Look at the server's log.",
        )


def machine_of(context: Context, fetch: Sequence[dict[str, Any]], stop: threading.Event) -> Machine:
    """The machine, for work on it; `fetch` are the server's hints about files, `stop` ends downloads."""
    return Machine(
        conf=context.conf,
        state_dir=context.state_dir,
        running=context.transaction,
        output=context.output,
        stop=stop,
        fetch=fetch,
        trust=Trust(target_files=context.trust_target_files),
        mirror_patience=context.mirror_patience,
    )


def _reach(context: Context, claim: dict[str, Any], heartbeat: Heartbeat) -> Outcome:
    """Everything between claim and result. Raises AgentError while nothing was changed yet."""
    journal = context.journal
    revision = claim["target"].get("revision")
    if journal.data.get("here"):
        journal.enter(steps.GATHER, followed={"pool": claim["operation"].get("pool"), "revision": revision})
    else:
        RevisionSeen(context.state_dir).check(claim["operation"], revision)
    goal = _goal_of(claim)
    hints = wanted.hints_of(claim)
    machine = machine_of(context, hints, EitherEvent(context.signals.stop, heartbeat.lost))
    base = machine.installed()
    _check_unmanaged(claim, [package.as_installed() for package in base.values()], goal)
    lock_check.check_unlocked(context.conf)
    transaction.check_entries(context.conf)

    def gathered() -> None:
        heartbeat.check()
        journal.enter(steps.REHEARSE)

    held, groups = report.holds(context, base), context.conf.ignore_groups
    permit = permission.of(context, journal.data.get("forced") or ())
    prepared = machine.prepare(goal, held=held, ignored_groups=groups, gathered=gathered, permit=permit)
    heartbeat.check()
    with context.signals.shielded():
        context.transaction.clear()
        journal.enter(
            steps.APPLY,
            goal=packages_to_json(goal),
            base=packages_to_json([package.as_installed() for package in base.values()]),
            fetch=hints,
            install=[package.name for package in prepared.plan.install],
            problems=sorted(prepared.problems),
            boot=boot.current(),
            began=time.time(),
        )
        lock_check.check_unlocked(context.conf)
        if machine.installed() != base:
            raise _base_changed()
        heartbeat.say_applying()
        run = machine.apply(prepared)
        if run is not None and run.status != 0:
            return _after_failure(context, machine, _pacman_failed(context, run), cut_off=run.status >= 128)
        return _settle_and_verify(context, machine)


def _pacman_failed(context: Context, run: pacman.Run) -> Failed:
    data = context.journal.data
    goal, base = packages_from_json(data["goal"]), packages_from_json(data["base"])
    removed = {package.name for package in base} - {package.name for package in goal}
    return pacman_failed(run, context.conf, context.state_dir, removed.union(data["install"]))


def _settle_and_verify(context: Context, machine: Machine) -> Outcome:
    """The steps after a transaction; all of them may be repeated."""
    journal = context.journal
    goal = packages_from_json(journal.data["goal"])
    warnings = context.transaction.complaints
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
    except AgentError as error:
        return Outcome.failed(error, warnings)
    return Outcome("succeeded", warnings=warnings)


def _after_failure(context: Context, machine: Machine, error: Failed, *, cut_off: bool) -> Outcome:
    """pacman failed: nothing happened, or something half-way. Forward once more, else back, never left half."""
    data = context.journal.data
    goal, base = packages_from_json(data["goal"]), packages_from_json(data["base"])
    if not cut_off and machine.is_unchanged(base, data["install"]):
        return Outcome.failed(_nothing_changed(error))
    context.output.warn(f"{error.message} Going on from where it stopped.")
    try:
        known = {package.name for package in base}
        changed = transaction.difference(machine.installed(), base, reasons=False, check_broken=data["install"])
        begun = changed or pacman.begun(context.transaction.output())
        if is_repair(context) or (_power_was_cut(context) and begun):
            # pacman begins only when no file is in its way: what is there now is its own.
            machine.begun = data["install"]
        machine.mend(goal, data["install"], newcomers=[name for name in data["install"] if name not in known])
    except AgentError as second:
        context.output.warn(f"{second.message} Going back to where the machine was.")
        return _back(context, machine, base, Failed(second.code, second.message))
    return _settle_and_verify(context, machine)


def _back(context: Context, machine: Machine, base: list[InstalledPackage], error: Failed) -> Outcome:
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
        return Outcome.failed(Failed(error.code, left, "Put it right with pacman, and run `pacsync-agent sync`."))
    return Outcome.failed(
        Failed(error.code, f"{error.message} The machine was brought back to where it was.", error.hint)
    )


def _nothing_changed(error: AgentError) -> Failed:
    return Failed(error.code, f"{error.message} Nothing was changed.", error.hint)


def _go_on(context: Context) -> None:
    """After the death of an agent that may have started pacman: wait for that pacman, then finish what it left."""
    journal = context.journal
    running = context.transaction
    said = "The pacman of an earlier run is still at work: waiting for it to finish."
    watch = HookWatch(context.conf, lambda hook: context.output.line(f"It waits for its hook {hook}."))
    with contextlib.ExitStack() as stack:
        if running.is_running() and not is_repair(context):
            operation, token = journal.data["operation"], journal.data["token"]
            heartbeat = stack.enter_context(Heartbeat(context.client, operation, token, LEASE, phase="applying"))
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
    machine = machine_of(context, journal.data["fetch"], context.signals.stop)
    with context.signals.shielded():
        try:
            if machine.clear_stale_lock():
                context.output.line("Removed the lock that the cut-off pacman left.")
            outcome = _judge(context, machine)
        finally:
            _remove_rehearsal(context)
        if outcome is not None:
            _end(context, outcome)


def _judge(context: Context, machine: Machine) -> Optional[Outcome]:
    """What the transaction that was begun came to; None when it wasn't begun (the journal is back at the claim)."""
    journal = context.journal
    if journal.step != steps.APPLY:
        return _settle_and_verify(context, machine)
    # After a power cut files may be empty although their names, and pacman's status, are on the disk.
    power_cut = _power_was_cut(context)
    status = None if power_cut else context.transaction.last_status()
    if status == 0:
        return _settle_and_verify(context, machine)
    again = power_cut or is_repair(context)  # a repair has no claim to begin with
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
    error = _pacman_failed(context, pacman.Run(status or 137, context.transaction.output()))
    return _after_failure(context, machine, error, cut_off=cut_off)


def _power_was_cut(context: Context) -> bool:
    """Whether the machine was started anew since pacman was."""
    return boot.is_another(context.journal.data.get("boot"))


def _nothing_begun(context: Context, machine: Machine) -> bool:
    data = context.journal.data
    base = packages_from_json(data["base"])
    begun = pacman.begun(context.transaction.output())
    return not begun and machine.is_unchanged(base, data["install"])


def is_repair(context: Context) -> bool:
    """Whether the journal's operation is one of this machine alone, that the server doesn't know."""
    return context.journal.data["operation"] is None


def repair(context: Context, names: Sequence[str]) -> Ended:
    """Install these packages once more, in the versions that they have; their files are in the cache by now."""
    machine = machine_of(context, (), context.signals.stop)
    packages = packages_to_json([package.as_installed() for package in machine.installed().values()])
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
        _end(context, _mend_and_settle(context, machine))
    return send(context)


def _mend_and_settle(context: Context, machine: Machine) -> Outcome:
    data = context.journal.data
    try:
        machine.begun = data["install"]
        machine.mend(packages_from_json(data["goal"]), data["install"], cached_only=True)
    except AgentError as error:
        return Outcome.failed(error)
    return _settle_and_verify(context, machine)


def end_unbegun(context: Context, queued: dict[str, Any], error: AgentError) -> Optional[Ended]:
    """End a queued operation on the server that can't even be begun here: there is no room for its journal.

    Killed in the middle of this, the lease runs out and the operation is handed out again.
    """
    token = str(uuid.uuid4())
    context.journal.enter_unwritten(
        steps.CLAIM, kind=queued["kind"], operation=queued["id"], token=token, base=None, here=False
    )
    claim = _claim(context)
    return give_up(context, error) if claim else None


def give_up(context: Context, error: AgentError) -> Ended:
    """End an operation whose pacman wasn't started, here and on the server."""
    _end(context, Outcome.failed(error))
    return send(context)


def _end(context: Context, outcome: Outcome) -> None:
    context.journal.enter(steps.REPORT, outcome=outcome.for_journal())


def send(context: Context) -> Ended:
    """Tell the server how the journal's operation ended, and close the journal. Raises Unavailable (it stays)."""
    journal = context.journal
    outcome = Outcome.from_journal(journal.data["outcome"])
    operation, kind = journal.data["operation"], journal.data["kind"]
    if is_repair(context):
        journal.close()
        report.tell(context)
        return Ended(kind, outcome, {})
    text = local_db.state_text(local_db.read(context.conf.dbpath))
    log = context.transaction.output() if journal.data.get("goal") else ""
    body = {"lease_token": journal.data["token"], **outcome.for_server(log)}
    try:
        answer = report.send_result(context, operation, body, text)
    except ApiError as error:
        if error.code not in {"lease_lost", "not_found"}:
            raise error.as_agent_error(context.credentials.name) from None
        answer = _judged_by_report(context, operation)
    followed = journal.data.get("followed")
    if followed and outcome.outcome == "succeeded":
        RevisionSeen(context.state_dir).accept(followed["pool"], followed["revision"])
    journal.close()
    report.tell_files(context)
    return Ended(kind, outcome, answer)


def _judged_by_report(context: Context, operation: str) -> dict[str, Any]:
    """The lease ran out meanwhile: the server decides by the machine's state, so report that and read the verdict."""
    report.check_in(context)
    try:
        return context.client.get(f"/operations/{operation}")
    except ApiError:
        return {}
