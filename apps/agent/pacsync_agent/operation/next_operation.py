"""Finds the next operation: one that was begun, one that is queued, or a new one. It must not print results."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from typing import Any, Optional

from .. import journal as steps
from ..checkin import report
from ..context import Context
from ..databases import local_db
from ..errors import AgentError, Busy, Interrupted, Local
from ..pacman import database_lock, execution, lock_check, running_hook, transaction_repository
from ..planning import removal_marker
from ..server.client import ApiError
from ..server.newest_revision import RevisionSeen
from ..system import disk_full
from ..transaction import preconditions, settling
from . import ending, processing, recovery
from .ending import EndedOperation

# Attempts to make an operation, when somebody runs pacman between the report and the claim.
TRIES = 3


def resume(context: Context, *, give_back: bool = False) -> Optional[EndedOperation]:
    """Finish the operation that an earlier agent began, if there is one."""
    if not context.journal.load():
        if os.geteuid() == 0:  # of an agent that died while it repaired an entry without a journal
            context.transaction.remove_own_lock(context.conf.dbpath, seen=True)
        return None
    if context.conf.unusable:
        return _resume_without_pacman(context, context.conf.unusable)
    if context.journal.step == steps.CREATE:
        made = _create(context, context.journal.data["kind"], context.journal.data["key"])
        if made is None:
            return None
    _check_lock(context)
    context.output.line("Going on with the operation that an earlier run began.")
    return processing.carry_out(context, give_back=give_back)


def _resume_without_pacman(context: Context, unusable: Local) -> Optional[EndedOperation]:
    """Where pacman doesn't start: send a waiting result, or end an operation before pacman.

    Raises Local for what only pacman can finish.
    """
    journal = context.journal
    if journal.step == steps.REPORT:
        return ending.send(context)
    if journal.reached(steps.APPLY):
        said = f"{unusable.message} It has to finish the operation that an earlier run began."
        raise Local(unusable.code, said, unusable.hint)
    if journal.step == steps.CREATE:  # if the server has it, it is queued there, and is ended from there
        journal.close()
        return None
    return processing.end_before_pacman(context, unusable)


def _check_lock(context: Context) -> None:
    """Raise Busy where a lock that isn't the agent's own keeps the journal's operation from going on."""
    journal, running = context.journal, context.transaction
    under_way = journal.reached(steps.APPLY) and journal.step != steps.REPORT
    if under_way and not running.is_running() and not running.own_lock.is_there(context.conf.dbpath):
        lock_check.check_unlocked(context.conf)


def execute(context: Context, kind: str) -> Optional[EndedOperation]:
    """Make an operation and carry it out; None when there is nothing to do."""
    preconditions.check_root()
    _check_pacman(context)
    for _ in range(TRIES):
        lock_check.check_unlocked(context.conf)
        remove_leftovers(context)
        answer = report.check_in(context)
        if kind == "sync":
            report.check_databases(context)
        queued = answer.get("operation") or {}
        if queued.get("status") == "queued" and queued["kind"] == kind:
            processing.adopt(context, queued, here=True)
        elif _create(context, kind, f"agent:{uuid.uuid4()}") is None:
            if kind == "sync":  # it is there already
                RevisionSeen(context.state_dir).accept(answer.get("pool"), answer.get("revision"))
            return None
        ended = processing.carry_out(context, give_back=True)
        if ended is not None:
            return ended
    return None


def execute_queued(context: Context, queued: dict[str, Any]) -> Optional[EndedOperation]:
    """Carry out a queued operation; None when the server doesn't hand it out."""
    if queued.get("status") != "queued":
        return None
    if context.conf.unusable:
        return processing.end_unbegun(context, queued, context.conf.unusable)
    if queued["kind"] == "sync":
        report.check_databases(context)  # it stays queued until they can be read
    preconditions.check_root()
    try:
        processing.adopt(context, queued, here=False)
    except OSError as error:
        if not disk_full.is_it(error):
            raise
        return processing.end_unbegun(context, queued, disk_full.refusal(context.state_dir))
    return processing.carry_out(context, give_back=False)


def _check_pacman(context: Context) -> None:
    """Raise Local where pacman doesn't start."""
    if context.conf.unusable:
        raise context.conf.unusable


def remove_leftovers(context: Context) -> None:
    """Remove what an earlier run left without a journal, if this is root."""
    if os.geteuid() != 0 or database_lock.is_locked(context.conf.dbpath):
        return
    if context.conf.unusable:
        return
    recovery.remove_rehearsal(context)
    transaction_repository.remove(context.conf.dbpath)
    installed = local_db.read(context.conf.dbpath)
    with contextlib.suppress(Busy):
        settling.remove_conflicts(context.conf, context.transaction, installed)
    if removal_marker.NAME in installed:  # an older agent's
        config = execution.write_config(context.conf, context.state_dir / "pacman.conf")
        settling.remove_marker(context.conf, context.transaction, config, installed)


def wait_for_own_pacman(context: Context, seconds: float) -> None:
    """Wait for the pacman of an earlier run. Raises Busy after `seconds`: a hook of it may wait for this agent."""
    deadline = time.monotonic() + seconds
    if context.transaction.is_running():
        context.output.line("The pacman of an earlier run is still at work: waiting for it to finish.")
    while context.transaction.is_running():
        if time.monotonic() > deadline:
            hook = running_hook.of(context.transaction.output(), context.conf)
            where = f", in its hook {hook}" if hook else ""
            raise Busy(
                "operation_unfinished", f"The pacman of an earlier run is still at work{where}: try again later."
            )
        time.sleep(0.2)


@contextlib.contextmanager
def given_back(context: Context) -> Iterator[None]:
    """A signal before the start of pacman ends the operation on the server too, if that can be done at once."""
    try:
        yield
    except Interrupted as error:
        data = context.journal.data
        if data.get("operation") and not context.journal.reached(steps.APPLY):
            with context.signals.shielded(), contextlib.suppress(AgentError):
                ending.give_up(context, error)
        raise


def _create(context: Context, kind: str, key: str) -> Optional[dict[str, Any]]:
    """Make the operation and adopt it; None when the machine is in sync already. Raises AgentError."""
    context.journal.enter(steps.CREATE, kind=kind, key=key)
    try:
        made = context.client.post("/operations", {"kind": kind, "idempotency_key": key})
    except ApiError as error:
        context.journal.close()
        if error.code == "already_in_sync":
            return None
        raise error.as_agent_error(context.credentials.name) from None
    if made["status"] not in {"queued", "leased", "applying"}:
        context.journal.close()
        return None
    processing.adopt(context, made, here=True)
    return made
