"""One operation from its claim to its result, by the journal's steps. It must not know the command line.

An agent may die at any step: the next agent's `carry_out` continues from the journal.
"""

from __future__ import annotations

import time
import uuid
from typing import Any, Optional

from apps.fleet.alpm import state

from .. import journal as steps
from ..checkin import report
from ..context import Context
from ..databases import local_db
from ..databases.local_db import Installed
from ..errors import AgentError, Interrupted, LeaseLost, Refused, Unavailable
from ..examination import after_sync
from ..gather.cache import Cache
from ..mirrors.network import Stopped
from ..pacman import lock_check, running_hook
from ..planning import target_check
from ..protection import permission
from ..server.client import ApiError
from ..server.newest_revision import RevisionSeen
from ..system import boot_id, disk_full
from ..system.combined_event import EitherEvent
from ..transaction import keyring_first, preconditions
from ..transaction.keyring_first import Staged
from ..transaction.machine import Machine
from ..transaction.machine_factory import machine_of
from ..trust import target_files
from . import cancellation, ending, health_gate, recovery, signed_operation
from .ending import EndedOperation
from .heartbeat import Heartbeat
from .operation_result import OperationResult

# Claims of one operation at most: a suspended machine loses the lease, and may get it again.
LEASES = 3


def adopt(context: Context, operation: dict[str, Any], *, here: bool) -> None:
    """Take over an operation: the lease token is on the disk before the server gets it.

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


def carry_out(context: Context, *, give_back: bool) -> Optional[EndedOperation]:
    """Bring the journal's operation to its end; None when it isn't this agent's any more.

    `give_back`: a signal ends the operation as failed, instead of leaving it to the next start. Raises Unavailable
    (the journal stays, and the next start continues), LeaseLost (again and again), Interrupted, Busy.
    """
    journal = context.journal
    for _ in range(LEASES):
        if not journal.reached(steps.APPLY):
            claim = _claim(context)
            if claim is None:
                return None
            _work(context, claim, give_back=give_back)
        elif journal.step == steps.REVERT:
            health_gate.go_on(context)
        elif journal.step != steps.REPORT:
            recovery.go_on(context, health_gate.judge_alone)
            if not journal.data:  # there was nothing to finish
                return None
        if journal.reached(steps.REPORT):
            return ending.send(context)
    journal.close()
    raise LeaseLost


def _claim(context: Context) -> Optional[dict[str, Any]]:
    """The lease with target and files; None when the server refuses it (and the journal is closed)."""
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
        # This agent had the lease before, and somebody has run pacman since.
        ending.end(context, OperationResult.failed(_base_changed()))
        ending.send(context)
        return None
    journal.enter(steps.GATHER, lease=claim["lease_seconds"], poll=context.poll)
    return claim


def _stop_if_cancelled(context: Context, operation: str) -> None:
    try:
        cancellation.check(context.client, operation)
    except Refused:
        Cache(context.conf, context.state_dir).remove_private()  # nobody goes on with it
        raise


def _base_changed() -> Refused:
    return Refused("base_changed", "The packages of this machine changed since the operation was made.", "Try again.")


def _work(context: Context, claim: dict[str, Any], *, give_back: bool) -> None:
    journal = context.journal
    operation, token = journal.data["operation"], journal.data["token"]
    context.output.last_progress = None
    try:
        with Heartbeat(context.client, operation, token, claim["lease_seconds"], poll=context.poll) as heartbeat:
            heartbeat.hook = lambda: running_hook.of(context.transaction.output(), context.conf)
            heartbeat.progress = lambda: context.output.last_progress
            outcome = _reach(context, claim, heartbeat)
    except (LeaseLost, Stopped):
        context.output.line("The lease of the operation ran out before pacman was started: asking for it again.")
        journal.enter(steps.CLAIM)  # its answer shows whether another run has the operation by now
        return
    except Unavailable:
        journal.enter(steps.CLAIM)  # pacman was not started; the next start asks for the lease again
        raise
    except Interrupted as error:
        if not give_back:
            raise
        with context.signals.shielded():
            ending.end(context, OperationResult.failed(error))
        return
    except AgentError as error:
        outcome = OperationResult.failed(error)
    except OSError as error:
        if context.transaction.was_started() and journal.reached(steps.APPLY):
            raise  # the next start finishes it
        outcome = OperationResult.failed(disk_full.as_agent_error(error, (context.state_dir,)))
    finally:
        recovery.remove_rehearsal(context)
    ending.end(context, outcome)


def _reach(context: Context, claim: dict[str, Any], heartbeat: Heartbeat) -> OperationResult:
    """Everything between claim and result. Raises AgentError as long as nothing was changed."""
    journal = context.journal
    revision = claim["target"].get("revision")
    if journal.data.get("here"):
        journal.enter(steps.GATHER, followed={"pool": claim["operation"].get("pool"), "revision": revision})
    else:
        RevisionSeen(context.state_dir).check(claim["operation"], revision)
    goal = target_check.goal_of(claim)
    signed = signed_operation.of(context, claim)
    hints = signed.hints(target_files.hints_of(claim))
    machine = machine_of(context, hints, EitherEvent(context.signals.stop, heartbeat.lost), signed.checksums(hints))
    base = machine.installed()
    signed.check(context, machine, goal)
    target_check.check_unmanaged(claim, [package.as_installed() for package in base.values()], goal)
    lock_check.check_unlocked(context.conf)
    preconditions.check_entries(context.conf)

    def gathered() -> None:
        heartbeat.check()
        journal.enter(steps.REHEARSE)

    held, groups = report.holds(context, base), context.conf.ignore_groups
    forced = journal.data.get("forced") or ()
    permit = permission.of(context.conf, context.state_dir, context.protect, forced)
    staged = keyring_first.prepare(machine, goal, held=held, ignored_groups=groups, gathered=gathered, permit=permit)
    heartbeat.check()
    signed.remember(context, base)
    return _apply(context, machine, staged, heartbeat, base=base, hints=hints)


def _apply(
    context: Context,
    machine: Machine,
    staged: Staged,
    heartbeat: Heartbeat,
    *,
    base: Installed,
    hints: list[dict[str, Any]],
) -> OperationResult:
    """Run what was rehearsed, settle and verify. Raises AgentError as long as nothing was changed."""
    journal = context.journal
    with context.signals.shielded():
        context.transaction.clear()
        journal.enter(
            steps.APPLY,
            goal=steps.packages_to_text(staged.goal),
            then=steps.packages_to_text(staged.then) if staged.then else None,
            first=None,
            base=steps.packages_to_text([package.as_installed() for package in base.values()]),
            fetch=hints,
            signed=signed_operation.for_journal(machine.trust.signed),
            install=[package.name for package in staged.prepared.plan.install],
            problems=sorted(staged.prepared.problems),
            boot=boot_id.current(),
            began=time.time(),
        )
        lock_check.check_unlocked(context.conf)
        if machine.installed() != base:
            raise _base_changed()
        after_sync.note_before(context.state_dir, context.conf.root)
        heartbeat.say_applying()
        return health_gate.judge(context, recovery.run_to_end(context, machine, staged.prepared))


def end_unbegun(context: Context, queued: dict[str, Any], error: AgentError) -> Optional[EndedOperation]:
    """End a queued operation that can't be begun here, for example because there is no room for its journal.

    If the agent is killed in the meantime, the lease runs out and the server hands the operation out again.
    """
    token = str(uuid.uuid4())
    context.journal.enter_unwritten(
        steps.CLAIM, kind=queued["kind"], operation=queued["id"], token=token, base=None, here=False
    )
    return end_before_pacman(context, error)


def end_before_pacman(context: Context, error: AgentError) -> Optional[EndedOperation]:
    """End the journal's operation, for which pacman wasn't started; None when it isn't this agent's any more."""
    return ending.give_up(context, error) if _claim(context) else None
