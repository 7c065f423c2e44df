"""Gets operations: makes one, takes a queued one, or goes on with one that was begun. It must not print results."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from typing import Any, Optional

from . import (
    database_lock,
    local_db,
    lock_check,
    marker,
    no_room,
    operation,
    pacman,
    report,
    result,
    running_hook,
    transaction,
    transaction_repository,
)
from . import journal as steps
from .api import ApiError
from .context import Context
from .errors import AgentError, Busy, Interrupted, Local
from .result import Ended
from .revision_seen import RevisionSeen

# How often a new operation is made when somebody ran pacman between the report and the claim.
TRIES = 3


def resume(context: Context, *, give_back: bool = False) -> Optional[Ended]:
    """Bring what an earlier agent began to its end, if there is anything."""
    if not context.journal.load():
        if os.geteuid() == 0:  # an agent that died while it mended an entry without a journal
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
    return operation.carry_out(context, give_back=give_back)


def _resume_without_pacman(context: Context, unusable: Local) -> Optional[Ended]:
    """Where pacman doesn't start: send the result that waits, or end what pacman wasn't started for.

    Raises Local for what only pacman can finish.
    """
    journal = context.journal
    if journal.step == steps.REPORT:
        return result.send(context)
    if journal.reached(steps.APPLY):
        said = f"{unusable.message} It has to finish the operation that an earlier run began."
        raise Local(unusable.code, said, unusable.hint)
    if journal.step == steps.CREATE:  # if the server has it, it is queued there, and ends as such
        journal.close()
        return None
    return operation.end_before_pacman(context, unusable)


def _check_lock(context: Context) -> None:
    """Raise Busy where the journal's operation can't be gone on with, because of a lock that isn't the agent's own."""
    journal, running = context.journal, context.transaction
    under_way = journal.reached(steps.APPLY) and journal.step != steps.REPORT
    if under_way and not running.is_running() and not running.own_lock.is_there(context.conf.dbpath):
        lock_check.check_unlocked(context.conf)


def execute(context: Context, kind: str) -> Optional[Ended]:
    """Make an operation and carry it out; None when nothing is to be done."""
    transaction.needs_root(os.geteuid())
    _check_pacman(context)
    for _ in range(TRIES):
        lock_check.check_unlocked(context.conf)
        remove_leftovers(context)
        answer = report.check_in(context)
        if kind == "sync":
            report.check_databases(context)
        queued = answer.get("operation") or {}
        if queued.get("status") == "queued" and queued["kind"] == kind:
            operation.adopt(context, queued, here=True)
        elif _create(context, kind, f"agent:{uuid.uuid4()}") is None:
            if kind == "sync":  # it is there already
                RevisionSeen(context.state_dir).accept(answer.get("pool"), answer.get("revision"))
            return None
        ended = operation.carry_out(context, give_back=True)
        if ended is not None:
            return ended
    return None


def execute_queued(context: Context, queued: dict[str, Any]) -> Optional[Ended]:
    """Carry out an operation that somebody else made; None when it can't be had."""
    if queued.get("status") != "queued":
        return None
    if context.conf.unusable:
        return operation.end_unbegun(context, queued, context.conf.unusable)
    if queued["kind"] == "sync":
        report.check_databases(context)  # it stays queued, and is carried out when they can be had
    transaction.needs_root(os.geteuid())
    try:
        operation.adopt(context, queued, here=False)
    except OSError as error:
        if not no_room.is_it(error):
            raise
        return operation.end_unbegun(context, queued, no_room.refusal(context.state_dir))
    return operation.carry_out(context, give_back=False)


def _check_pacman(context: Context) -> None:
    """Raise Local where pacman doesn't start."""
    if context.conf.unusable:
        raise context.conf.unusable


def remove_leftovers(context: Context) -> None:
    """Remove what an earlier run left and no journal knows of any more, if this is root."""
    if os.geteuid() != 0 or database_lock.is_locked(context.conf.dbpath):
        return
    if context.conf.unusable:
        return
    transaction_repository.remove(context.conf.dbpath)
    installed = local_db.read(context.conf.dbpath)
    with contextlib.suppress(Busy):
        transaction.remove_conflicts(context.conf, context.transaction, installed)
    if marker.NAME in installed:  # an older agent's
        config = pacman.write_config(context.conf, context.state_dir / "pacman.conf")
        transaction.remove_marker(context.conf, context.transaction, config)


def wait_for_own_pacman(context: Context, seconds: float) -> None:
    """Wait for the pacman of an earlier run. Raises Busy: not for ever, since a hook of it may wait for this one."""
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
    """A signal before pacman was started ends the operation on the server too, as far as that can be done at once."""
    try:
        yield
    except Interrupted as error:
        data = context.journal.data
        if data.get("operation") and not context.journal.reached(steps.APPLY):
            with context.signals.shielded(), contextlib.suppress(AgentError):
                result.give_up(context, error)
        raise


def _create(context: Context, kind: str, key: str) -> Optional[dict[str, Any]]:
    """Make the operation and adopt it; None when the machine is there already. Raises AgentError."""
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
    operation.adopt(context, made, here=True)
    return made
