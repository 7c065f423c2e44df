"""The end of an operation: its result goes into the journal and to the server. It must not know how it came about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import journal as steps
from ..checkin import report
from ..context import Context
from ..databases import local_db
from ..errors import AgentError
from ..examination import leftovers
from ..server.client import ApiError
from ..server.newest_revision import RevisionSeen
from .operation_result import OperationResult


@dataclass(frozen=True)
class EndedOperation:
    """An operation that is over: the agent's result, and the server's record of it (empty if there is none)."""

    kind: str
    outcome: OperationResult
    operation: dict[str, Any]


def end(context: Context, outcome: OperationResult) -> None:
    context.journal.enter(steps.REPORT, outcome=outcome.for_journal())


def give_up(context: Context, error: AgentError) -> EndedOperation:
    """End an operation for which pacman wasn't started, here and on the server."""
    end(context, OperationResult.failed(error))
    return send(context)


def send(context: Context) -> EndedOperation:
    """Report how the journal's operation ended, and close the journal. Raises Unavailable (then the journal stays)."""
    journal = context.journal
    outcome = OperationResult.from_journal(journal.data["outcome"])
    operation, kind = journal.data["operation"], journal.data["kind"]
    if journal.is_repair:
        journal.close()
        leftovers.forget_noted(context.state_dir)
        report.report_now(context)
        return EndedOperation(kind, outcome, {})
    text = local_db.state_text(local_db.read(context.conf.dbpath))
    log = context.transaction.output() if journal.data.get("goal") else ""
    if journal.first:
        log = f"{journal.first['log']}{log}"
    hint = context.output.hints.for_machine(outcome.hint)
    body = {"lease_token": journal.data["token"], **outcome.for_server(log, hint)}
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
    leftovers.forget_noted(context.state_dir)
    report.report_end(context)
    return EndedOperation(kind, outcome, answer)


def _judged_by_report(context: Context, operation: str) -> dict[str, Any]:
    """The lease has run out, so the server judges by the machine's state: report that, and get the operation."""
    report.check_in(context)
    try:
        return context.client.get(f"/operations/{operation}")
    except ApiError:
        return {}
