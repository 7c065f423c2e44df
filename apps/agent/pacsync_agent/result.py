"""The end of an operation: what is said of it here and to the server. It must not know how it was carried out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import journal as steps
from . import leftovers, local_db, report
from .api import ApiError
from .context import Context
from .errors import AgentError
from .outcome import Outcome
from .revision_seen import RevisionSeen


@dataclass(frozen=True)
class Ended:
    """An operation that is over: what the agent says of it, and the server's answer (None: it couldn't be told)."""

    kind: str
    outcome: Outcome
    operation: dict[str, Any]


def end(context: Context, outcome: Outcome) -> None:
    context.journal.enter(steps.REPORT, outcome=outcome.for_journal())


def give_up(context: Context, error: AgentError) -> Ended:
    """End an operation whose pacman wasn't started, here and on the server."""
    end(context, Outcome.failed(error))
    return send(context)


def send(context: Context) -> Ended:
    """Tell the server how the journal's operation ended, and close the journal. Raises Unavailable (it stays)."""
    journal = context.journal
    outcome = Outcome.from_journal(journal.data["outcome"])
    operation, kind = journal.data["operation"], journal.data["kind"]
    if journal.is_repair:
        journal.close()
        leftovers.forget_noted(context.state_dir)
        report.tell(context)
        return Ended(kind, outcome, {})
    text = local_db.state_text(local_db.read(context.conf.dbpath))
    log = context.transaction.output() if journal.data.get("goal") else ""
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
    report.tell_end(context)
    return Ended(kind, outcome, answer)


def _judged_by_report(context: Context, operation: str) -> dict[str, Any]:
    """The lease ran out meanwhile: the server decides by the machine's state, so report that and read the verdict."""
    report.check_in(context)
    try:
        return context.client.get(f"/operations/{operation}")
    except ApiError:
        return {}
