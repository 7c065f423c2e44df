"""Resumes an operation, or says once what is in its way: a lock, or a pacman that does not start.

It must not know who holds the lock.

A machine that can't finish an operation continues to report: it would look offline otherwise.
"""

from __future__ import annotations

from typing import Optional

from ..context import Context
from ..errors import AgentError, Busy, Local
from ..pacman.kept_configuration import NOT_STARTED
from . import next_operation
from .ending import EndedOperation

_IN_THE_WAY = {"database_locked", *NOT_STARTED}


def resume_or_report(context: Context) -> Optional[EndedOperation]:
    """Finish what was begun. Where a lock, or a pacman that doesn't start, is in the way: say so, and set `blocked`.

    Raises AgentError.
    """
    context.blocked = False
    try:
        ended = next_operation.resume(context)
    except (Busy, Local) as error:
        if error.code not in _IN_THE_WAY:
            raise
        context.blocked = True
        say_once(context, error)
        return None
    context.said = ""
    return ended


def say_once(context: Context, error: AgentError) -> None:
    """Print the error, unless it was the last one printed. Another agent isn't mentioned: usually it just reports."""
    if error.code == "agent_busy" or error.message == context.said:
        return
    context.said = error.message
    if error.hint:
        context.output.warn(f"{error.message} {error.hint}")
    else:
        context.output.line(error.message)
