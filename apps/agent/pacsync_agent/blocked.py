"""Goes on as far as others let the agent, and says once what keeps it from its work. It must not know who holds a lock.

A machine on which an operation can't be finished goes on reporting: it would be offline without a reason otherwise.
"""

from __future__ import annotations

from typing import Optional

from . import work
from .context import Context
from .errors import AgentError, Busy, Local
from .pacman_conf_kept import NOT_STARTED
from .result import Ended

_IN_THE_WAY = {"database_locked", *NOT_STARTED}


def resume(context: Context) -> Optional[Ended]:
    """Bring what was begun to its end; where a lock, or a pacman that doesn't start, is in the way, say so and set
    `blocked`. Raises AgentError."""
    context.blocked = False
    try:
        ended = work.resume(context)
    except (Busy, Local) as error:
        if error.code not in _IN_THE_WAY:
            raise
        context.blocked = True
        say_once(context, error)
        return None
    context.said = ""
    return ended


def say_once(context: Context, error: AgentError) -> None:
    """Say it, unless it was the last thing of this kind. Another agent isn't worth a word: it just reports, mostly."""
    if error.code == "agent_busy" or error.message == context.said:
        return
    context.said = error.message
    if error.hint:
        context.output.warn(f"{error.message} {error.hint}")
    else:
        context.output.line(error.message)
