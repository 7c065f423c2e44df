"""`once`: reports, and carries out what is queued. It must not know who starts it: a person, a timer, pacman's hook."""

from __future__ import annotations

from ...checkin import report
from ...context import only_agent
from ...errors import Busy, Exit
from ...operation import next_operation
from ...pacman import database_lock
from .. import render
from ..call import Call
from ..command import Command
from ..parser import Parser
from ..round import do_round


def once(call: Call) -> int:
    """Do one round; a quiet no-op while another agent is at work. The exit status. Raises AgentError."""
    context = call.context()
    if report.another_pacman(context) and not context.transaction.is_running():
        # Asked for by a hook, as a rule: that pacman holds its lock until all of its hooks are done.
        database_lock.wait_until_free(context.conf.dbpath, call.arguments.wait)
    try:
        with only_agent(context.state_dir, wait=0):
            if not call.arguments.report_only:
                next_operation.wait_for_own_pacman(context, call.arguments.wait)
            answer, ended = do_round(context, may_work=not call.arguments.report_only)
    except Busy as error:
        call.output.line(error.message)
        call.output.result("", command="once", busy=True)
        return Exit.OK
    if ended:
        return render.ended(call.output, "once", ended)
    said = {**answer, "problems": context.problems}
    known = {**render.checked_in(answer), **({"busy": True} if context.blocked else {})}
    call.output.result(render.one_line(context.credentials.name, said), command="once", **known)
    return Exit.OK


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("--report-only", action="store_true", help="report, but carry out nothing")


COMMAND = Command(
    name="once",
    help="report, and carry out what is queued for this machine",
    examples=(
        "sudo pacsync-agent once",
        "sudo pacsync-agent once --report-only     (what the pacman hook does)",
    ),
    run=once,
    add_arguments=_add_arguments,
    waits=True,
)
