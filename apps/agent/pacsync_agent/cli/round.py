"""One round of `once` and `run`: finish what was begun, report, carry out what is queued.

It must not know how often there is one.
"""

from __future__ import annotations

from typing import Any, Optional

from ..checkin import report, token_rotation
from ..context import Context
from ..errors import Busy
from ..operation import blocked_operation, next_operation
from ..operation.ending import EndedOperation


def do_round(context: Context, *, may_work: bool) -> tuple[dict[str, Any], Optional[EndedOperation]]:
    """The server's answer to the report, and how an operation ended, if there was one. Raises AgentError.

    `may_work`: False only reports. Raises Busy while an operation is unfinished or another pacman is at work.
    """
    in_hook = report.in_hook(context)
    unfinished = context.journal.load()
    if in_hook and unfinished:
        raise Busy("operation_unfinished", "An operation is unfinished: the machine is reported when it is over.")
    # Asked before the lock: our own pacman may end between the two questions, and its lock is not another's.
    ours_at_work = unfinished and context.transaction.is_running()
    if report.another_pacman(context) and not ours_at_work:
        raise Busy("database_locked", "Another pacman is at work: this machine reports when it is done.")
    ended = blocked_operation.resume_or_report(context) if may_work and not in_hook else None
    if not unfinished and not in_hook:
        next_operation.remove_leftovers(context)
    if unfinished and not may_work:
        raise Busy("operation_unfinished", "An operation is unfinished: `pacsync-agent once` finishes it.")
    token_rotation.finish(context)
    answer = report.check_in(context, background=True)
    queued = answer.get("operation")
    if queued and may_work and not in_hook and ended is None and not context.blocked:
        ended = next_operation.execute_queued(context, queued)
    if answer.get("rotate_token") and not in_hook:
        token_rotation.rotate_as_asked(context)
    return answer, ended
